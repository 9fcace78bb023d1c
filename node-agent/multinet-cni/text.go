package main

// What is needed of the packages strings, bytes and encoding/binary. They bring the tables of unicode, which are made anew each time
// that a program starts.

// cut splits text around the first separator.
func cut(text string, separator byte) (before, after string, found bool) {
	for i := range len(text) {
		if text[i] == separator {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// listed has a comma between the elements.
func listed(list []string) (text string) {
	for i, element := range list {
		if i > 0 {
			text += ", "
		}
		text += element
	}
	return text
}

// parentOf a path is empty for one without a slash, and for the root.
func parentOf(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}

// appendUvarint writes a number as protobuf does.
func appendUvarint(to []byte, number uint64) []byte {
	for ; number >= 128; number >>= 7 {
		to = append(to, byte(number)|128)
	}
	return append(to, byte(number))
}

// uvarint reads one from n bytes, which are none where it is not complete or too large.
func uvarint(from []byte) (number uint64, n int) {
	for i, c := range from {
		if i == 9 && c > 1 || i > 9 {
			break
		}
		number |= uint64(c&127) << (7 * i)
		if c < 128 {
			return number, i + 1
		}
	}
	return 0, 0
}

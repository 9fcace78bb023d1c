package unary

import "errors"

// Header fields as HPACK encodes them (RFC 7541). No table is kept: the settings that are sent to the server forbid it to
// refer to earlier fields.

// appendField writes a field as a literal that is not indexed.
func appendField(block []byte, name, value string) []byte {
	return appendString(appendString(append(block, 0), name), value)
}

// appendString writes it without Huffman's code.
func appendString(block []byte, s string) []byte {
	n := len(s)
	if n < 127 {
		return append(append(block, byte(n)), s...)
	}
	block = append(block, 127)
	for n -= 127; n >= 128; n >>= 7 {
		block = append(block, byte(n)|128)
	}
	return append(append(block, byte(n)), s...)
}

var errHeaders = errors.New("malformed header fields")

// fields calls each with the fields of a block.
func fields(block []byte, each func(name, value string)) error {
	for len(block) > 0 {
		first, name, value := block[0], "", ""
		prefix := 4 // not indexed, or never
		switch {
		case first&0x80 != 0: // name and value of the static table
			prefix = 7
		case first&0x40 != 0: // to be indexed, in a table without room
			prefix = 6
		case first&0x20 != 0: // the size of the table
			prefix = 5
		}
		index, rest, err := integer(block, prefix)
		if err != nil {
			return err
		}
		block = rest
		if prefix == 5 {
			if index != 0 {
				return errHeaders
			}
			continue
		}
		if prefix == 7 || index > 0 {
			if name, value, err = static(index); err != nil {
				return err
			}
		} else if name, block, err = text(block); err != nil {
			return err
		}
		if prefix != 7 {
			if value, block, err = text(block); err != nil {
				return err
			}
		}
		each(name, value)
	}
	return nil
}

// statics is how many fields the static table has. Of them, servers answer with the status of HTTP; the names of the others concern
// nobody here.
const statics = 61

var statusCodes = [...]string{"200", "204", "206", "304", "400", "404", "500"}

func static(index int) (name, value string, err error) {
	if index < 1 || index > statics {
		return "", "", errHeaders
	}
	if i := index - 8; i >= 0 && i < len(statusCodes) {
		return ":status", statusCodes[i], nil
	}
	return "", "", nil
}

// integer reads one whose first bits are the last ones of a byte.
func integer(block []byte, bits int) (n int, rest []byte, err error) {
	if len(block) == 0 {
		return 0, nil, errHeaders
	}
	limit := 1<<bits - 1
	if n = int(block[0]) & limit; n < limit {
		return n, block[1:], nil
	}
	for i, c := range block[1:] {
		if i == 3 {
			break // more than anybody's headers have
		}
		n += int(c&127) << (7 * i)
		if c < 128 {
			return n, block[2+i:], nil
		}
	}
	return 0, nil, errHeaders
}

func text(block []byte) (s string, rest []byte, err error) {
	n, rest, err := integer(block, 7)
	if err != nil || n > len(rest) {
		return "", nil, errHeaders
	}
	if block[0]&0x80 == 0 {
		return string(rest[:n]), rest[n:], nil
	}
	s, err = huffman(rest[:n])
	return s, rest[n:], err
}

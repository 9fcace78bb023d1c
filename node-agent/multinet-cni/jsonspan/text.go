package jsonspan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unquote resolves the escape sequences of what stands between quotes and is known to be valid. What is no character becomes
// U+FFFD.
func unquote(quoted string) string {
	if literal(quoted) {
		return quoted
	}
	out := make([]byte, 0, len(quoted))
	for i := 0; i < len(quoted); {
		if quoted[i] != '\\' {
			r, size := utf8.DecodeRuneInString(quoted[i:])
			out = utf8.AppendRune(out, r)
			i += size
			continue
		}
		c := quoted[i+1]
		i += 2
		if c != 'u' {
			out = append(out, unescaped(c))
			continue
		}
		r, _ := hex4(quoted[i:])
		i += 4
		if utf16.IsSurrogate(r) {
			if second, ok := escapedRune(quoted[i:]); ok && utf16.DecodeRune(r, second) != utf8.RuneError {
				r, i = utf16.DecodeRune(r, second), i+6
			} else {
				r = utf8.RuneError
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// literal tells whether a string is what stands between its quotes.
func literal(quoted string) bool {
	for i := range len(quoted) {
		if quoted[i] == '\\' {
			return false
		}
	}
	return utf8.ValidString(quoted)
}

func escapedRune(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	return hex4(text[2:])
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // itself: a quote, a slash or a backslash
}

// AppendText writes a string as JSON.
func AppendText(to []byte, text string) []byte {
	const digits = "0123456789abcdef"
	to = append(to, '"')
	for _, r := range text { // U+FFFD for what is no character
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r < ' ':
			to = append(to, '\\', 'u', '0', '0', digits[r>>4], digits[r&0xf])
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"')
}

package unary

// lengths of the codes of RFC 7541, appendix B, in bits, by byte. The code is canonical: its codes count up, the shorter ones first,
// those of one length in the order of the bytes. That of the end of a text, which no text has, comes last.
var lengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const longest = 30

// huffman decodes a text bit by bit; it is short.
func huffman(coded []byte) (string, error) {
	var c canonical
	c.sort()
	out := make([]byte, 0, 32) // more than the fields have that are read
	// code are the bits since the last byte, first is the least code of their number.
	code, first, n, ones := 0, 0, 0, true
	for i := range 8 * len(coded) {
		bit := int(coded[i/8]>>(7-i%8)) & 1
		code, first, n = code<<1|bit, first<<1, n+1
		ones = ones && bit == 1
		if n > longest {
			return "", errHeaders
		}
		start := int(c.starts[n])
		codes := int(c.starts[n+1]) - start
		if at := code - first; at < codes {
			out = append(out, c.bytes[start+at])
			code, first, n, ones = 0, 0, 0, true
			continue
		}
		first += codes
	}
	// What is left fills the last byte, with the beginning of the code of the end.
	if n > 7 || !ones {
		return "", errHeaders
	}
	return string(out), nil
}

// canonical has all bytes in the order of their codes; those with a code of n bits begin at starts[n].
type canonical struct {
	bytes  [256]byte
	starts [longest + 2]uint16
}

func (c *canonical) sort() {
	for _, n := range lengths {
		c.starts[n+1]++
	}
	for n := range longest + 1 {
		c.starts[n+1] += c.starts[n]
	}
	next := c.starts
	for b, n := range lengths {
		c.bytes[next[n]] = byte(b)
		next[n]++
	}
}

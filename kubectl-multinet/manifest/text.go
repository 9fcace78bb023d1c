package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// Place is where something stands: a file, or a field of an object in the API, with line and column from 1.
type Place struct {
	Source       string
	Line, Column int
}

func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.Source, p.Line, p.Column) }

// Text is a string in a document that has a language of its own.
type Text struct {
	Value string
	// At is where it begins.
	At Place
	// locate finds the place of a byte of Value.
	locate func(offset int) Place
}

// Place of a byte of Value.
func (t Text) Place(offset int) Place { return t.locate(offset) }

// inField is a text whose places count within itself, since there is no file.
func inField(field, value string) Text {
	locate := func(offset int) Place {
		p := jsonpos.PositionOf(value, offset)
		return Place{Source: field, Line: p.Line, Column: p.Column}
	}
	return Text{Value: value, At: locate(0), locate: locate}
}

// inFile is a text whose places are in the file, however the YAML there writes it.
func inFile(file, source string, node *yaml.Node) Text {
	place := func(offset int) Place {
		p := jsonpos.PositionOf(source, offset)
		return Place{Source: file, Line: p.Line, Column: p.Column}
	}
	begin := offsetOf(source, node.Line, node.Column)
	return Text{
		Value:  node.Value,
		At:     place(begin),
		locate: func(offset int) Place { return place(find(source, begin, node, offset)) },
	}
}

// offsetOf counts columns in characters, as the YAML library does.
func offsetOf(source string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		end := strings.IndexByte(source[offset:], '\n')
		if end < 0 {
			return len(source)
		}
		offset += end + 1
	}
	for ; column > 1 && offset < len(source); column-- {
		_, size := utf8.DecodeRuneInString(source[offset:])
		offset += size
	}
	return offset
}

// find returns where the character at an offset of a scalar's value is in the source. YAML folds and indents, but adds and
// takes away white space alone: the nth character that is none is the nth in both.
func find(source string, begin int, node *yaml.Node, offset int) int {
	rest := node.Value[:min(offset, len(node.Value))]
	skip := 0
	for _, r := range rest {
		if !blank(r) {
			skip++
		}
	}
	at := begin + strings.IndexAny(source[begin:], "'\"|>")
	switch node.Style &^ yaml.TaggedStyle {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		at += strings.IndexByte(source[at:], '\n') + 1
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		at++
	default:
		at = begin
	}
	last := at
	for at < len(source) {
		r, size := unit(source[at:], node.Style)
		switch {
		case blank(r):
		case skip == 0 && strings.TrimFunc(node.Value[len(rest):], blank) == "":
			// The end of the text: behind its last character, not at whatever the file goes on with.
			return last
		case skip == 0:
			return at
		default:
			skip--
			last = at + size
		}
		at += size
	}
	return last
}

func blank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// unit returns the next character of a scalar, as it stands or escaped, and how many bytes it takes.
func unit(source string, style yaml.Style) (r rune, size int) {
	r, size = utf8.DecodeRuneInString(source)
	switch {
	case style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(source, "''"):
		return r, 2
	case style&yaml.DoubleQuotedStyle == 0 || r != '\\' || len(source) < 2:
		return r, size
	}
	switch source[1] {
	case 'x':
		return r, min(4, len(source))
	case 'u':
		return r, min(6, len(source))
	case 'U':
		return r, min(10, len(source))
	case 'n', 'r', 't', ' ', '\n', '\r':
		return ' ', 2
	}
	return r, 2
}

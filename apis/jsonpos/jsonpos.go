// Package jsonpos reads JSON into a tree whose values know where they stand, so that a message about text that a person
// wrote can name line and column.
package jsonpos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Position is a place in a text.
type Position struct {
	// Offset in bytes from 0.
	Offset int
	// Line and Column from 1; the column counts characters.
	Line, Column int
}

func (p Position) String() string { return fmt.Sprintf("line %d, column %d", p.Line, p.Column) }

// Error is a place where text is no JSON, or names a member twice.
type Error struct {
	At Position
	// Problem is a clause such as `invalid character '}' after object key`.
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.At, e.Problem) }

// Kind of a value.
type Kind int

// Kinds of JSON.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// Value is one value and where it begins.
type Value struct {
	At   Position
	Kind Kind
	// Text of a String without quotes and escapes; of a Number or Bool as it stands.
	Text    string
	Items   []Value
	Members []Member
}

// Member of an object, in the order of the text.
type Member struct {
	Key string
	// At is where the key begins.
	At    Position
	Value Value
}

// Member returns the value of a key. One that is null counts as absent, as it does where Go decodes into a struct.
func (v Value) Member(key string) (Value, bool) {
	for _, m := range v.Members {
		if m.Key == key {
			return m.Value, m.Value.Kind != Null
		}
	}
	return Value{}, false
}

// Parse reads a text that holds one value. It is as strict as encoding/json, and refuses an object with the same key
// twice, of which encoding/json would silently keep the last. The error is an *Error.
func Parse(text string) (Value, error) {
	var whole json.RawMessage
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return Value{}, syntaxError(text, err)
	}
	r := &reader{text: text, decoder: json.NewDecoder(bytes.NewReader([]byte(text))), cursor: Position{Line: 1, Column: 1}}
	r.decoder.UseNumber()
	return r.value()
}

// syntaxError finds the place; json counts the offending byte in.
func syntaxError(text string, err error) *Error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return &Error{At: PositionOf(text, len(text)), Problem: err.Error()}
	}
	offset := int(syntax.Offset)
	if offset > 0 && !strings.Contains(syntax.Error(), "unexpected end") {
		offset--
	}
	return &Error{At: PositionOf(text, offset), Problem: syntax.Error()}
}

// PositionOf returns the place of a byte of text; behind the end counts as the end.
func PositionOf(text string, offset int) Position {
	p := Position{Line: 1, Column: 1}
	p.advance(text, min(offset, len(text)))
	return p
}

// advance moves p forward to the byte at offset.
func (p *Position) advance(text string, offset int) {
	for p.Offset < offset {
		r, size := utf8.DecodeRuneInString(text[p.Offset:])
		p.Offset += size
		p.Column++
		if r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
	}
}

// reader walks a text that is known to be JSON.
type reader struct {
	text    string
	decoder *json.Decoder
	// cursor only moves forward, so that all places together cost one pass.
	cursor Position
}

// next returns the next token and where it begins: behind the last one, separators and white space.
func (r *reader) next() (json.Token, Position, error) {
	offset := int(r.decoder.InputOffset())
	for offset < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[offset]) >= 0 {
		offset++
	}
	r.cursor.advance(r.text, offset)
	at := r.cursor
	token, err := r.decoder.Token()
	if err != nil {
		return nil, at, &Error{At: at, Problem: err.Error()}
	}
	return token, at, nil
}

func (r *reader) value() (Value, error) {
	token, at, err := r.next()
	if err != nil {
		return Value{}, err
	}
	v := Value{At: at}
	switch t := token.(type) {
	case nil:
		v.Kind = Null
	case bool:
		v.Kind, v.Text = Bool, fmt.Sprint(t)
	case json.Number:
		v.Kind, v.Text = Number, t.String()
	case string:
		v.Kind, v.Text = String, t
	case json.Delim:
		if t == '[' {
			v.Kind = Array
			return v, r.items(&v)
		}
		v.Kind = Object
		return v, r.members(&v)
	}
	return v, nil
}

func (r *reader) items(v *Value) error {
	for r.decoder.More() {
		item, err := r.value()
		if err != nil {
			return err
		}
		v.Items = append(v.Items, item)
	}
	_, _, err := r.next()
	return err
}

func (r *reader) members(v *Value) error {
	seen := map[string]bool{}
	for r.decoder.More() {
		token, at, err := r.next()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return &Error{At: at, Problem: fmt.Sprintf("key %q stands twice", key)}
		}
		seen[key] = true
		value, err := r.value()
		if err != nil {
			return err
		}
		v.Members = append(v.Members, Member{Key: key, At: at, Value: value})
	}
	_, _, err := r.next()
	return err
}

// Package jsonspan finds values in a JSON text without decoding the rest of it. It is strict: what it takes is what
// encoding/json takes. Values are parts of the text, not copies.
//
// It is here because a CNI plugin is a process that lives for one call. The reflection of encoding/json costs it a fifth of its
// whole time, for seven keys.
package jsonspan

import (
	"errors"
	"strconv"
)

// ErrMalformed is a text that is no JSON, or JSON of another form than was asked for.
var ErrMalformed = errors.New("malformed JSON")

func malformed(at int, what string) error {
	return &position{at, what}
}

type position struct {
	at   int
	what string
}

func (p *position) Error() string { return "byte " + strconv.Itoa(p.at) + ": " + p.what }
func (p *position) Unwrap() error { return ErrMalformed }

// maxDepth is that of encoding/json.
const maxDepth = 10000

// Object calls each with the members of the object that the text is, in order. Values are valid JSON without white space
// around. A name may come twice.
func Object(text string, each func(name, value string) error) error {
	return whole(text, '{', func(s *scanner) error { return s.object(each) })
}

// List calls each with the elements of the list that the text is.
func List(text string, each func(value string) error) error {
	return whole(text, '[', func(s *scanner) error { return s.list(each) })
}

// Text is the string that the value is.
func Text(value string) (string, error) {
	s := scanner{text: value}
	if err := s.str(); err != nil {
		return "", err
	}
	if s.at != len(value) {
		return "", malformed(s.at, "more than one value")
	}
	return unquote(value[1 : s.at-1]), nil
}

// Null tells whether a value is null, which stands for one that is absent.
func Null(value string) bool { return value == "null" }

// TrimLeft takes away the white space that a text begins with.
func TrimLeft(text string) string {
	s := scanner{text: text}
	s.space()
	return text[s.at:]
}

func whole(text string, open byte, read func(*scanner) error) error {
	s := scanner{text: text}
	s.space()
	if s.next() != open {
		return malformed(s.at, "not what begins with "+string(open))
	}
	if err := read(&s); err != nil {
		return err
	}
	if s.space(); s.at != len(text) {
		return malformed(s.at, "more than one value")
	}
	return nil
}

// scanner goes over a text once.
type scanner struct {
	text  string
	at    int
	depth int
}

// next is 0 at the end, which is no part of any JSON.
func (s *scanner) next() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for c := s.next(); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = s.next() {
		s.at++
	}
}

func (s *scanner) value() error {
	switch c := s.next(); {
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.list(nil)
	case c == '"':
		return s.str()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if end := s.at + len(word); end <= len(s.text) && s.text[s.at:end] == word {
			s.at = end
			return nil
		}
	}
	return malformed(s.at, "no value")
}

func (s *scanner) object(each func(name, value string) error) error {
	return s.elements('}', func() error {
		start := s.at
		if err := s.str(); err != nil {
			return err
		}
		name := s.text[start+1 : s.at-1]
		if s.space(); s.next() != ':' {
			return malformed(s.at, "no colon")
		}
		s.at++
		s.space()
		value := s.at
		if err := s.value(); err != nil || each == nil {
			return err
		}
		return each(unquote(name), s.text[value:s.at])
	})
}

func (s *scanner) list(each func(value string) error) error {
	return s.elements(']', func() error {
		start := s.at
		if err := s.value(); err != nil || each == nil {
			return err
		}
		return each(s.text[start:s.at])
	})
}

// elements reads what stands between brackets with commas in between.
func (s *scanner) elements(end byte, one func() error) error {
	if s.depth++; s.depth > maxDepth {
		return malformed(s.at, "too deep")
	}
	s.at++
	if s.space(); s.next() == end {
		s.at++
		s.depth--
		return nil
	}
	for {
		s.space()
		if err := one(); err != nil {
			return err
		}
		s.space()
		switch s.next() {
		case ',':
			s.at++
		case end:
			s.at++
			s.depth--
			return nil
		default:
			return malformed(s.at, "neither a comma nor the end")
		}
	}
}

func (s *scanner) number() error {
	if s.next() == '-' {
		s.at++
	}
	switch c := s.next(); {
	case c == '0':
		s.at++
	case !s.digits():
		return malformed(s.at, "no digit")
	}
	if s.next() == '.' {
		if s.at++; !s.digits() {
			return malformed(s.at, "no digit")
		}
	}
	if c := s.next(); c == 'e' || c == 'E' {
		s.at++
		if c := s.next(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return malformed(s.at, "no digit")
		}
	}
	return nil
}

func (s *scanner) digits() (some bool) {
	for c := s.next(); c >= '0' && c <= '9'; c = s.next() {
		s.at++
		some = true
	}
	return some
}

// str goes behind the closing quote.
func (s *scanner) str() error {
	if s.next() != '"' {
		return malformed(s.at, "no string")
	}
	for s.at++; ; s.at++ {
		switch c := s.next(); {
		case c == '"':
			s.at++
			return nil
		case c == '\\':
			if s.at++; !s.escape() {
				return malformed(s.at, "no escape sequence")
			}
		case c < ' ':
			return malformed(s.at, "a string does not end")
		}
	}
}

// escape goes to the last byte of what follows a backslash.
func (s *scanner) escape() bool {
	switch s.next() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if _, ok := hex4(s.text[s.at+1:]); ok {
			s.at += 4
			return true
		}
	}
	return false
}

func hex4(text string) (r rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | c
	}
	return r, true
}

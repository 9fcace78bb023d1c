package jsonpos

import (
	"fmt"
	"strconv"
)

// Problem is something wrong with one value of a document.
type Problem struct {
	// Path of the value, such as ipam.ranges[0].subnet; "" for the document itself.
	Path string
	At   Position
	// Text is a clause such as "is a number, where a string is needed".
	Text string
}

// Fields reads the members of one object by key and notes what is wrong with them. A member that is absent, null, or of
// another kind reads as not there.
type Fields struct {
	// At is where the object begins, Path where it is in the document.
	At   Position
	Path string

	value    Value
	asked    map[string]bool
	problems *[]Problem
}

// NewFields reads v, whose problems are appended to problems. A value that is no object is one, and has no members.
func NewFields(v Value, path string, problems *[]Problem) *Fields {
	f := &Fields{At: v.At, Path: path, value: v, asked: map[string]bool{}, problems: problems}
	if v.Kind != Object {
		f.note(path, v.At, mismatch(v, Object))
	}
	return f
}

func (f *Fields) note(path string, at Position, text string) {
	*f.problems = append(*f.problems, Problem{Path: path, At: at, Text: text})
}

// Refuse notes a problem with the member key, or with the object where there is none of that key.
func (f *Fields) Refuse(key, format string, args ...any) {
	*f.problems = append(*f.problems, f.Problem(key, format, args...))
}

// Problem is what Refuse notes.
func (f *Fields) Problem(key, format string, args ...any) Problem {
	at := f.At
	for _, m := range f.value.Members {
		if m.Key == key {
			at = m.Value.At
		}
	}
	return Problem{Path: f.PathOf(key), At: at, Text: fmt.Sprintf(format, args...)}
}

// PathOf is the path of a member.
func (f *Fields) PathOf(key string) string {
	if f.Path == "" || key == "" {
		return f.Path + key
	}
	return f.Path + "." + key
}

// Has tells whether there is such a member, and that the caller knows its key.
func (f *Fields) Has(key string) bool {
	f.asked[key] = true
	_, found := f.value.Member(key)
	return found
}

// get returns a member of the kind.
func (f *Fields) get(key string, kind Kind) (Value, bool) {
	f.asked[key] = true
	v, found := f.value.Member(key)
	if found && v.Kind != kind {
		f.note(f.PathOf(key), v.At, mismatch(v, kind))
		return Value{}, false
	}
	return v, found
}

func mismatch(v Value, kind Kind) string {
	return fmt.Sprintf("is %s, where %s is needed", v.Kind, kind)
}

// Text of a string.
func (f *Fields) Text(key string) (text string, found bool) {
	v, found := f.get(key, String)
	return v.Text, found
}

// Int is a number without fraction or exponent, at least 0 and at most limit.
func (f *Fields) Int(key string, limit int64) (n int64, found bool) {
	v, found := f.get(key, Number)
	if !found {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil || n < 0 || n > limit {
		f.note(f.PathOf(key), v.At, fmt.Sprintf("is %s, where a whole number from 0 to %d is needed", v.Text, limit))
		return 0, false
	}
	return n, true
}

// Bool is true or false; false where it is not there.
func (f *Fields) Bool(key string) bool {
	v, _ := f.get(key, Bool)
	return v.Text == "true"
}

// Object is the member's own members.
func (f *Fields) Object(key string) (*Fields, bool) {
	v, found := f.get(key, Object)
	if !found {
		return nil, false
	}
	return NewFields(v, f.PathOf(key), f.problems), true
}

// List is the member's items; found tells an empty list from none.
func (f *Fields) List(key string) (items []Item, found bool) {
	v, found := f.get(key, Array)
	for i, item := range v.Items {
		items = append(items, Item{value: item, path: fmt.Sprintf("%s[%d]", f.PathOf(key), i), problems: f.problems})
	}
	return items, found
}

// Unasked are the members whose keys nobody has asked for, in the order of the text.
func (f *Fields) Unasked() (members []Member) {
	for _, m := range f.value.Members {
		if !f.asked[m.Key] {
			members = append(members, m)
		}
	}
	return members
}

// Item of a list.
type Item struct {
	value    Value
	path     string
	problems *[]Problem
}

// Refuse notes a problem with the item.
func (i Item) Refuse(format string, args ...any) {
	*i.problems = append(*i.problems, Problem{Path: i.path, At: i.value.At, Text: fmt.Sprintf(format, args...)})
}

// Text of an item that has to be a string.
func (i Item) Text() (text string, isString bool) {
	if i.value.Kind != String {
		i.Refuse("%s", mismatch(i.value, String))
		return "", false
	}
	return i.value.Text, true
}

// Fields of an item that has to be an object.
func (i Item) Fields() *Fields { return NewFields(i.value, i.path, i.problems) }

// Items of an item that has to be a list.
func (i Item) Items() (items []Item) {
	if i.value.Kind != Array {
		i.Refuse("%s", mismatch(i.value, Array))
	}
	for n, item := range i.value.Items {
		items = append(items, Item{value: item, path: fmt.Sprintf("%s[%d]", i.path, n), problems: i.problems})
	}
	return items
}

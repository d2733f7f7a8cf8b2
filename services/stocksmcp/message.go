package stocksmcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// operation is what a request asks for.
type operation struct {
	Method string // empty in an answer to a request
	Name   string // of the tool or prompt
}

// Bounds of what a message is made of. The SDK makes a map of each object that
// it does not know, 0.3 kB for a few bytes, several times over.
const (
	maxDepth = 64 // of objects and arrays in one another
	// maxTokens bounds the names, values, brackets and braces. A call with
	// the fifty symbols that a tool takes at most has a hundred.
	maxTokens = 1000
)

// errNotJSON is a body that is none, which JSON-RPC has a code for.
var errNotJSON = errors.New("the body is not JSON")

// Names that decide what a message is, at its top and in its params.
var (
	topNames   = []string{"jsonrpc", "id", "method", "params"}
	paramNames = []string{"name", "arguments", "uri", "_meta", "inputResponses", "requestState"}
)

// parseOperation reads the operation out of a JSON-RPC message. It refuses what
// another reader could take for another operation: a batch, a name that is
// there twice (some take the first, some the last), one that is spelled in
// another case (encoding/json does not mind), and whatever follows the message;
// an id that would not come back as it was; and what costs more to read than it
// can be of use. The error says what to do; of what is no JSON it wraps
// errNotJSON.
func parseOperation(body []byte) (operation, error) {
	if !utf8.Valid(body) {
		return operation{}, fmt.Errorf("%w: it is not UTF-8", errNotJSON)
	}
	w := &walk{dec: json.NewDecoder(bytes.NewReader(body))}
	w.dec.UseNumber()
	first, err := w.token()
	switch {
	case err != nil:
		return operation{}, err
	case first == json.Delim('['):
		return operation{}, errors.New("batches are not served: send each message by itself")
	case first != json.Delim('{'):
		return operation{}, errors.New("the body is not a JSON-RPC message, which is an object")
	}
	var op operation
	err = w.object(1, topNames, func(name string) error {
		switch name {
		case "id":
			return w.id()
		case "method":
			return w.text(&op.Method)
		case "params":
			return w.params(&op)
		}
		return w.value(1)
	})
	if err != nil {
		return operation{}, err
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return operation{}, fmt.Errorf("%w: something follows the message", errNotJSON)
	}
	return op, nil
}

// walk goes through a message token by token.
type walk struct {
	dec    *json.Decoder
	tokens int // read so far
}

// params reads params, of which only an object has a name.
func (w *walk) params(op *operation) error {
	t, err := w.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return w.rest(t, 1)
	}
	return w.object(2, paramNames, func(name string) error {
		if name == "name" {
			return w.text(&op.Name)
		}
		return w.value(2)
	})
}

// object reads the members of an object whose brace was read.
func (w *walk) object(depth int, known []string, member func(name string) error) error {
	if depth > maxDepth {
		return fmt.Errorf("the message nests deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for w.dec.More() {
		t, err := w.token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // the decoder lets nothing else be a name
		if seen[name] {
			return errors.New("a name is there twice in one object")
		}
		seen[name] = true
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("write %q as it is spelled here", k)
			}
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := w.token()
	return err
}

// value skips a value.
func (w *walk) value(depth int) error {
	t, err := w.token()
	if err != nil {
		return err
	}
	return w.rest(t, depth)
}

// rest skips what follows the first token of a value.
func (w *walk) rest(first json.Token, depth int) error {
	switch first {
	case json.Delim('{'):
		return w.object(depth+1, nil, func(string) error { return w.value(depth + 1) })
	case json.Delim('['):
		if depth >= maxDepth {
			return fmt.Errorf("the message nests deeper than %d", maxDepth)
		}
		for w.dec.More() {
			if err := w.value(depth + 1); err != nil {
				return err
			}
		}
		_, err := w.token()
		return err
	}
	return nil
}

// text reads a value that has to be a string.
func (w *walk) text(into *string) error {
	t, err := w.token()
	if err != nil {
		return err
	}
	s, ok := t.(string)
	if !ok {
		return errors.New("method and name are strings")
	}
	*into = s
	return nil
}

// id reads the id of a request or an answer, which is never null (MCP, base
// protocol).
func (w *walk) id() error {
	t, err := w.token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case string:
		return nil
	case json.Number:
		if isIntegerID(string(t)) {
			return nil
		}
	}
	return errors.New("id is a string or an integer of at most 53 bits, written in digits alone")
}

func (w *walk) token() (json.Token, error) {
	t, err := w.dec.Token()
	if err != nil {
		return nil, errNotJSON
	}
	if w.tokens++; w.tokens > maxTokens {
		return nil, fmt.Errorf("the message has more than %d names, values and brackets", maxTokens)
	}
	return t, nil
}

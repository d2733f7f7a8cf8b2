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

// maxDepth is how deep a message may nest.
const maxDepth = 64

// Names that decide what a message is, at its top and in its params.
var (
	topNames   = []string{"jsonrpc", "id", "method", "params"}
	paramNames = []string{"name", "arguments", "uri", "_meta", "inputResponses", "requestState"}
)

// parseOperation reads the operation out of a JSON-RPC message. It refuses what
// another reader could take for another operation: a batch, a name that is
// there twice (some take the first, some the last), one that is spelled in
// another case (encoding/json does not mind), and whatever follows the message.
// The error says what to do.
func parseOperation(body []byte) (operation, error) {
	if !utf8.Valid(body) {
		return operation{}, errors.New("the message is not UTF-8")
	}
	w := &walk{dec: json.NewDecoder(bytes.NewReader(body))}
	w.dec.UseNumber()
	first, err := w.dec.Token()
	switch {
	case err != nil:
		return operation{}, errors.New("the body is not JSON")
	case first == json.Delim('['):
		return operation{}, errors.New("batches are not served: send each message by itself")
	case first != json.Delim('{'):
		return operation{}, errors.New("the body is not a JSON-RPC message, which is an object")
	}
	var op operation
	err = w.object(1, topNames, func(name string) error {
		switch name {
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
		return operation{}, errors.New("something follows the message")
	}
	return op, nil
}

// walk goes through a message token by token.
type walk struct{ dec *json.Decoder }

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

func (w *walk) token() (json.Token, error) {
	t, err := w.dec.Token()
	if err != nil {
		return nil, errors.New("the body is not JSON")
	}
	return t, nil
}

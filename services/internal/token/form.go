package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is how deep objects and arrays may nest. A chain of actors is the
// deepest thing that an access token holds.
const maxDepth = 16

// CheckForm refuses what the decoders below the JWT library would let pass: a
// line break in base64, a claim that is there twice (the last one wins), or
// written in another case (case is ignored). Two parsers that disagree on a
// token are a way around both.
func CheckForm(raw string) error {
	if strings.ContainsAny(raw, "\r\n") {
		return errors.New("line break")
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("not a signed JWT of three parts")
	}
	for _, part := range parts[:2] {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return errors.New("not base64url")
		}
		if err := checkObject(b); err != nil {
			return err
		}
	}
	return nil
}

// known are the names whose other spellings are refused.
var known = []string{
	"alg", "typ", "kid", "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "auth_time", "acr",
	"region", "client_type", "client_assurance_level", "act", "cnf",
}

// checkObject walks the names of a JSON object without recursion, so that
// deep nesting costs no stack.
func checkObject(b []byte) error {
	type frame struct {
		names    map[string]bool // seen so far; nil in an array
		wantName bool            // the next token is a name or the end
	}
	var stack []frame
	for dec := json.NewDecoder(bytes.NewReader(b)); ; {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if len(stack) == 0 && t != json.Delim('{') {
			return errors.New("not a JSON object")
		}
		var top *frame
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		name, isString := t.(string)
		switch {
		case t == json.Delim('}'), t == json.Delim(']'):
			stack = stack[:len(stack)-1]
			continue
		case isString && top.wantName:
			if err := checkName(name, top.names); err != nil {
				return err
			}
			top.names[name], top.wantName = true, false
			continue
		}
		if top != nil { // a value begins here; in an object a name or the end follows it
			top.wantName = top.names != nil
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, frame{names: map[string]bool{}, wantName: true})
		case json.Delim('['):
			stack = append(stack, frame{})
		}
		if len(stack) > maxDepth {
			return errors.New("nested too deeply")
		}
	}
}

// checkName refuses a name that is there already or is a misspelling of one
// that means something.
func checkName(name string, seen map[string]bool) error {
	if seen[name] {
		return errors.New("a name is there twice")
	}
	for _, k := range known {
		if name != k && strings.EqualFold(name, k) {
			return fmt.Errorf("a name is not spelled %q", k)
		}
	}
	return nil
}

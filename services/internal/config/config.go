// Package config reads a service's settings from environment variables. Each
// service declares a struct with a field a setting; the struct's tags are the
// documentation of names and defaults.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Parse fills a T from environ ("NAME=value" as in os.Environ) and validates
// it when it has a Validate method. Its errors name every variable that cannot
// be used and say why, never what a secret contained.
func Parse[T any](environ []string) (T, error) {
	cfg, err := env.ParseAsWithOptions[T](env.Options{Environment: env.ToMap(environ)})
	if err != nil {
		return cfg, fmt.Errorf("configuration: %w", explain(err))
	}
	if v, ok := any(cfg).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return cfg, fmt.Errorf("configuration: %w", err)
		}
	}
	return cfg, nil
}

// explain rewrites the library's errors, which name Go fields, into ones that
// name variables where it tells them.
func explain(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, e := range all.Errors {
		var notSet env.VarIsNotSetError
		var empty env.EmptyVarError
		var parse env.ParseError
		switch {
		case errors.As(e, &notSet):
			out = append(out, fmt.Errorf("%s: is required; set it", notSet.Key))
		case errors.As(e, &empty):
			out = append(out, fmt.Errorf("%s: must not be empty", empty.Key))
		case errors.As(e, &parse):
			out = append(out, fmt.Errorf("%s: %w", variable(parse.Name), parse.Err))
		default:
			out = append(out, e)
		}
	}
	return errors.Join(out...)
}

// variable turns a Go field name into the variable it is read from: the
// project keeps the two alike (ListenAddr, LISTEN_ADDR), and a test of each
// service holds it to that.
func variable(field string) string {
	var b strings.Builder
	for i, r := range field {
		lowerBefore := i > 0 && field[i-1] >= 'a' && field[i-1] <= 'z'
		lowerAfter := i > 0 && i+1 < len(field) && field[i+1] >= 'a' && field[i+1] <= 'z'
		if r >= 'A' && r <= 'Z' && (lowerBefore || lowerAfter) {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// Secret is a value that must not be shown: it prints and logs as dots.
type Secret string

// String keeps the secret out of fmt.
func (Secret) String() string { return "•••" }

// GoString keeps the secret out of %#v.
func (Secret) GoString() string { return "•••" }

// LogValue keeps the secret out of slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("•••") }

// MarshalText keeps the secret out of JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("•••"), nil }

// ReadSecret returns the contents of a secret file without its final line
// break. The error names the variable that pointed to the file. A secret of
// fewer than 32 bytes is refused: a default or a typing mistake, not a key.
func ReadSecret(variable, file string) (Secret, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w; `make up` creates the secrets", variable, err)
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if len(value) < 32 {
		return "", fmt.Errorf("%s: %s holds fewer than 32 bytes; remove it and let `make up` create a new one", variable, file)
	}
	return Secret(value), nil
}

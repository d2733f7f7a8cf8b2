package deploy

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secretNames are the secrets of the deployment: the key that encrypts the
// authorization server's signing keys, and one secret for each client that
// authenticates with one.
var secretNames = []string{"key-encryption-key", "client-gateway", "client-stocksmcp", "client-stocks-web", "client-stocks-report", "client-stocksapi", "client-admin"}

// ensureSecrets creates the secrets that are missing in dir, each of 32 random
// bytes in base64url, and returns the names of those. It never changes one
// that is there, and never prints one.
func ensureSecrets(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	var created []string
	for _, name := range secretNames {
		isNew, err := ensureSecret(filepath.Join(dir, name))
		if err != nil {
			return created, fmt.Errorf("secrets: %w", err)
		}
		if isNew {
			created = append(created, name)
		}
	}
	return created, nil
}

// ensureSecret links a complete file to its name, which fails where the name
// is taken: of two that start at the same time one wins, and both use its
// secret.
func ensureSecret(file string) (created bool, err error) {
	if _, err := os.Lstat(file); err == nil {
		return false, nil
	}
	b := make([]byte, 32)
	rand.Read(b)                                          // never fails
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // with mode 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(b) + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), file)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

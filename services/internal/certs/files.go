package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// loadPair reads a certificate, the first of its file, and the key that must
// belong to it.
func loadPair(certFile, keyFile string) (pair, error) {
	cert, err := readCertificate(certFile)
	if err != nil {
		return pair{}, err
	}
	der, err := readPEM(keyFile, "PRIVATE KEY")
	if err != nil {
		return pair{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return pair{}, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return pair{}, fmt.Errorf("%s: not an ECDSA key", keyFile)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return pair{}, errors.New("certificate and key do not belong together")
	}
	return pair{cert: cert, key: key}, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}

func readPEM(file, kind string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block %q", file, kind)
	}
	return block.Bytes, nil
}

// savePair writes the key, then the certificate with the chain behind it. A
// crash in between leaves a pair that does not match, which loadPair notices.
func savePair(certFile, keyFile string, p pair, chain ...*x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	certs := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	for _, c := range chain {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return writeFile(certFile, certs, 0o644)
}

// writeFile replaces file in one step: a reader sees the old contents or the
// new, never a part.
func writeFile(file string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(file)
	// The name ends like the others, so that git ignores what a crash leaves.
	tmp, err := os.CreateTemp(dir, ".tmp-*.pem")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := adopt(tmp.Name(), dir); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// makeDir creates dir where it is missing.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return adopt(dir, filepath.Dir(dir))
}

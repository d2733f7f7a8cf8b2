package certs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/smallstep/truststore"
)

// Trust adds the authority in caFile to the system's trust store, to Firefox
// (and Chromium on Linux) where its certutil is installed, and to Java where
// JAVA_HOME is set. It asks nobody; the programs that it runs may ask for the
// password of an administrator.
//
// It tries every store even when one fails.
func Trust(caFile string) error {
	return eachStore(caFile, "trust", truststore.InstallFile)
}

// Untrust removes the authority in caFile from where Trust puts it.
func Untrust(caFile string) error {
	return eachStore(caFile, "stop trusting", truststore.UninstallFile)
}

func eachStore(caFile, verb string, do func(string, ...truststore.Option) error) error {
	cert, err := readCertificate(caFile)
	if err != nil {
		return fmt.Errorf("%w; `make certs` creates it", err)
	}
	if !cert.IsCA {
		return fmt.Errorf("%s is not the certificate of an authority", caFile)
	}
	stores := []struct {
		name    string
		options []truststore.Option
	}{
		{"the system's store", nil},
		{"Firefox and other NSS stores", []truststore.Option{truststore.WithNoSystem(), truststore.WithFirefox()}},
		{"Java's store", []truststore.Option{truststore.WithNoSystem(), truststore.WithJava()}},
	}
	var errs []error
	for _, store := range stores {
		if err := do(caFile, store.options...); err != nil {
			errs = append(errs, fmt.Errorf("%s %s in %s: %w%s", verb, caFile, store.name, err, output(err)))
		}
	}
	if errs != nil {
		errs = append(errs, errors.New("certs/README.md says how to do it by hand"))
	}
	return errors.Join(errs...)
}

// output is what a failed program printed, which the error leaves out.
func output(err error) string {
	var failed *truststore.CmdError
	if !errors.As(err, &failed) || len(failed.Out()) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(failed.Out()))
}

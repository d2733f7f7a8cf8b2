package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"time"
)

const organization = "Local development, demo.example"

// createCA makes an authority for domain and saves it.
func createCA(certFile, keyFile, domain string, now time.Time) (pair, error) {
	domains := commonDomains
	if !isCommon(domain) {
		domains = []string{"localhost", domain}
	}
	ca, err := newCA("Local demo CA", domains, []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}, now)
	if err != nil {
		return pair{}, fmt.Errorf("create a certificate authority: %w", err)
	}
	return ca, savePair(certFile, keyFile, ca)
}

// newCA makes an authority that can sign for these names, all names below them
// and these addresses, and, by its name constraints, for nothing else in the
// world.
func newCA(name string, domains []string, addresses []*net.IPNet, now time.Time) (pair, error) {
	return sign(&x509.Certificate{
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: name + " of " + now.Format(time.DateOnly)},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs leaves, no further authorities
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,

		// Critical: a client that does not understand them must refuse.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		PermittedIPRanges:           addresses,
	}, pair{})
}

// issue makes a server certificate for domain.
func issue(ca pair, domain string, now time.Time) (pair, error) {
	return newLeaf(ca, []string{domain, "*." + domain, "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}, now,
		x509.ExtKeyUsageServerAuth)
}

// newLeaf makes a certificate for names and addresses.
func newLeaf(ca pair, names []string, addresses []net.IP, now time.Time, usages ...x509.ExtKeyUsage) (pair, error) {
	return sign(&x509.Certificate{
		// No common name: it holds 64 characters, and clients read the
		// alternative names alone (RFC 9525 §2).
		Subject:               pkix.Name{Organization: []string{organization}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              leafEnd(ca.cert, now),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
		DNSNames:              names,
		IPAddresses:           addresses,
	}, ca)
}

// sign gives template a new key and has it signed by the parent, or by itself
// when parent is the zero value. It chooses the serial number (RFC 5280
// §4.1.2.2) at random.
func sign(template *x509.Certificate, parent pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if parent.cert == nil {
		parent = pair{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

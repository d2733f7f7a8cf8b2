package clients

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
)

// TestIsPublic: attack D9, the addresses themselves.
func TestIsPublic(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
		"fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "5f00::1",
	} {
		if isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s passes for a public address", s)
		}
	}
	for _, s := range []string{"8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "198.17.255.255", "2606:4700::1111", "2a00:1450::1"} {
		if !isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s does not pass for a public address", s)
		}
	}
}

// TestFetcherDialsNothingForbidden: attacks D9 and D10. The address is looked
// at when it is dialled, whatever the name resolved to before; a listener
// notes that nobody came.
func TestFetcherDialsNothingForbidden(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(came)
				return
			}
			conn.Close()
			came <- struct{}{}
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fetcher := NewFetcher(nil, "client.demo.localhost:8443", "")
	for _, host := range []string{
		"127.0.0.1:" + port, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, // the listener, on a port that is not fetched from either
		"localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "100.64.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fec0::1]", "198.18.0.1", "240.0.0.1",
	} {
		resp, err := fetcher.Get("https://" + host + "/client.json")
		if err == nil {
			resp.Body.Close()
		}
		// A machine without IPv6 fails before the address is looked at.
		if !errors.Is(err, errForbiddenAddress) && !errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Errorf("%s: %v", host, err)
		}
	}
	l.Close()
	for range came {
		t.Error("somebody connected")
	}
}

// TestOwnHostIsTheOneExemption: the demo client's host is reached where the
// configuration says, and at no other port or name.
func TestOwnHostIsTheOneExemption(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	transport := NewFetcher(nil, "client.demo.localhost:8443", l.Addr().String()).Transport.(*http.Transport)
	for address, want := range map[string]bool{
		"client.demo.localhost:8443": true, "client.demo.localhost:443": false, "client.demo.localhost:22": false,
		"x.client.demo.localhost:8443": false, "mcp.demo.localhost:8443": false, l.Addr().String(): false,
	} {
		conn, err := transport.DialContext(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("dial %s: %v", address, err)
		}
	}
}

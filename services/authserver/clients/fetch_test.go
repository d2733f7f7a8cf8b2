package clients

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestIsPublic holds the addresses of attack D9.
func TestIsPublic(t *testing.T) {
	for want, addrs := range map[bool][]string{
		true: {"1.1.1.1", "8.8.8.8", "93.184.216.34", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
			"172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
			"2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888", "2001:200::1", "2003::1"},
		false: {"0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254",
			"172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.0.171", "192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1",
			"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
			"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
			"2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1", "2001:db8::1", "2002::1", "2002:7f00:1::1", "2002:a00:1::", "3fff::1", "5f00::1",
			"fc00::1", "fd00:ec2::254", "fdff:ffff::1", "fe80::1", "fe80::1%lo", "fec0::1", "feff::1", "ff02::1", "ff0e::1", "2606:4700::1%lo"},
	} {
		for _, addr := range addrs {
			if got := isPublic(netip.MustParseAddr(addr)); got != want {
				t.Errorf("isPublic(%s) = %v", addr, got)
			}
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// listen returns the port of a loopback listener that counts who connects.
func listen(t *testing.T, addr string) (port string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EADDRINUSE) { // port 443 alone
		t.Skipf("the port belongs to somebody else on this machine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, connections
}

// refused checks that a URL is not fetched because of where it leads.
func refused(t *testing.T, client *http.Client, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, errForbiddenAddress) {
		t.Errorf("%s: got error %v, want %v", url, err, errForbiddenAddress)
	}
}

// TestFetcherDialsNothingInside: no URL, however it spells the address, opens
// a connection to this machine or its network (attack D9).
func TestFetcherDialsNothingInside(t *testing.T) {
	client := NewFetcher(nil, "client.demo.localhost:8443", "")
	port, connections := listen(t, "127.0.0.1:0")
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "127.1.2.3", "[::ffff:127.0.0.1]", "[::]"} {
		refused(t, client, "https://"+host+":"+port+"/c.json")
	}
	for _, host := range []string{"127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "198.18.0.1", "240.0.0.1", "0.0.0.0",
		"[::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fec0::1]", "[fd00::1]", "[fe80::1]"} {
		refused(t, client, "https://"+host+"/c.json")
	}
	refused(t, client, "https://8.8.8.8:8443/c.json") // public, but who listens there publishes no web site
	refused(t, client, "https://8.8.8.8:22/c.json")
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were opened", n)
	}
}

// TestFetcherDialsNothingInsideOn443 has a listener on the one port that is
// allowed, so that the address alone decides.
func TestFetcherDialsNothingInsideOn443(t *testing.T) {
	_, connections := listen(t, "127.0.0.1:443")
	client := NewFetcher(nil, "", "")
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"} {
		refused(t, client, "https://"+host+"/c.json")
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were opened", n)
	}
}

// TestFetcherRebinding: the address that is dialled is checked, not one that
// the name had before (attack D10). The name server here gives a public
// address to whoever asks first and loopback from then on.
func TestFetcherRebinding(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var asked atomic.Int64
	go serveRebindingDNS(server, &asked)
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	first, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", "rebind.example.")
	if err != nil || len(first) != 1 || !isPublic(first[0]) {
		t.Fatalf("the first answer is %v, %v", first, err)
	}
	refused(t, NewFetcher(nil, "", ""), "https://rebind.example./c.json")
	if asked.Load() < 2 {
		t.Errorf("the name was asked for %d times", asked.Load())
	}
}

// serveRebindingDNS answers questions for addresses (RFC 1035 §4.1).
func serveRebindingDNS(server net.PacketConn, asked *atomic.Int64) {
	buf := make([]byte, 512)
	for {
		n, from, err := server.ReadFrom(buf)
		if err != nil {
			return
		}
		end := 12 // header, then the name: labels until an empty one
		for end < n && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		question := buf[12 : end+5]
		answers := byte(0)
		addr := []byte{93, 184, 216, 34}
		if isA := binary.BigEndian.Uint16(buf[end+1:]) == 1; isA {
			answers = 1
			if asked.Add(1) > 1 {
				addr = []byte{127, 0, 0, 1}
			}
		}
		out := append([]byte{buf[0], buf[1], 0x84, 0, 0, 1, 0, answers, 0, 0, 0, 0}, question...)
		if answers > 0 {
			out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the name above, A, IN, no time to live
			out = append(out, addr...)
		}
		_, _ = server.WriteTo(out, from)
	}
}

// TestFetcherOwnHost: the demo client's host is reached where it is, and
// nothing else is by pretending to be it.
func TestFetcherOwnHost(t *testing.T) {
	p := publish(t, answerJSON)
	addr := p.Listener.Addr().String()
	roots := fetcherFor(p.Server).Transport.(*http.Transport).TLSClientConfig.RootCAs
	for own, url := range map[string]string{
		"example.com:8443": "https://example.com:8443/c.json", // the name in httptest's certificate
		"example.com":      "https://example.com/c.json",
		"example.com:443":  "https://example.com/c.json",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := NewFetcher(roots, own, addr).Do(req)
		if err != nil {
			t.Errorf("%s: %v", own, err)
			continue
		}
		resp.Body.Close()
	}
	reached := p.Requests.Load()
	if reached != 3 {
		t.Errorf("%d requests, want 3", reached)
	}
	client := NewFetcher(roots, "localhost:8443", addr)
	for _, url := range []string{
		"https://localhost/c.json", "https://localhost:443/c.json", "https://localhost:8444/c.json", "https://LOCALHOST:8443/c.json",
		"https://127.0.0.1:8443/c.json", "https://[::1]:8443/c.json", "https://" + addr + "/c.json",
	} {
		refused(t, client, url)
	}
	refused(t, NewFetcher(roots, "localhost:8443", ""), "https://localhost:8443/c.json")
	if p.Requests.Load() != reached {
		t.Error("another host was reached")
	}
}

// TestFetcherRedirect: the place that a redirect leads to is not asked
// (attack D11).
func TestFetcherRedirect(t *testing.T) {
	var inside atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := publish(t, func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", target.URL)
			w.WriteHeader(status)
		})
		if _, err := p.Docs.Get(t.Context(), p.URL+"/c.json"); err == nil {
			t.Errorf("%d: no error", status)
		}
	}
	if inside.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestFetcherAsksNoProxy: whatever the environment says, the host itself is
// dialled, or the address that is checked would be the proxy's (attack D9); and
// nothing is unpacked (attack D12). The environment is read once a process, so
// the settings are what is looked at.
func TestFetcherAsksNoProxy(t *testing.T) {
	if transport := NewFetcher(nil, "", "").Transport.(*http.Transport); transport.Proxy != nil || !transport.DisableCompression {
		t.Error("a proxy may be asked, or a small body may become a large one")
	}
}

// TestFetcherIsPatientForFiveSeconds: a server that drips, stalls or never
// stops costs no more than that (attack D12).
func TestFetcherIsPatientForFiveSeconds(t *testing.T) {
	for name, serve := range map[string]func(c io.ReadWriter){
		"one byte of body at a time": func(c io.ReadWriter) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n")
			drip(c, "{")
		},
		"one header at a time":      func(c io.ReadWriter) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"); drip(c, "X: y\r\n") },
		"informational without end": func(c io.ReadWriter) { drip(c, "HTTP/1.1 103 Early Hints\r\n\r\n") },
		"no answer":                 func(c io.ReadWriter) { _, _ = io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(nil)
			srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				serve(struct {
					io.Reader
					io.Writer
				}{bufio.NewReader(rw), c})
			})
			srv.StartTLS()
			defer srv.Close()
			endsInTime(t, fetcherFor(srv), srv.URL)
		})
	}
	t.Run("no TLS handshake", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // never accepts: the kernel connects, and nobody speaks
		addr := l.Addr().String()
		endsInTime(t, NewFetcher(nil, addr, addr), "https://"+addr)
	})
}

func drip(w io.Writer, s string) {
	for {
		if _, err := io.WriteString(w, s); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func endsInTime(t *testing.T, client *http.Client, origin string) {
	t.Helper()
	start := time.Now()
	doc, err := NewDocuments(client, time.Now).Get(t.Context(), origin+"/c.json")
	took := time.Since(start)
	if err == nil || took > fetchTime+time.Second {
		t.Errorf("got %+v, %v after %v", doc, err, took)
	}
}

func TestRoots(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "bad.pem")
	for file, content := range map[string][]byte{
		good: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
		bad:  []byte("no certificate"),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	system, err := Roots("", os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	with, err := Roots(good, os.ReadFile)
	if err != nil || with.Equal(system) {
		t.Errorf("the file's authority was not added: %v", err)
	}
	for _, file := range []string{bad, filepath.Join(dir, "missing.pem")} {
		if _, err := Roots(file, os.ReadFile); err == nil || !strings.HasPrefix(err.Error(), "CA_FILE: ") || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

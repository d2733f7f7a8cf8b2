package mtls

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"demo.example/services/internal/certs"
)

// BenchmarkCall is what a call between two services costs on kept connections:
// plain, as here, and with HTTP/2 in place of HTTP/1.1 (decision 18).
func BenchmarkCall(b *testing.B) {
	internal, err := certs.EnsureInternal(b.TempDir(), services, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	identity := func(name string) *Identity {
		id, err := Load(settingsOf(internal, name), name, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		return id
	}
	server, client := identity("stocksapi"), identity("gateway")
	h2 := func(c *tls.Config) *tls.Config {
		c = c.Clone()
		c.NextProtos = []string{"h2"}
		return c
	}
	for name, protocol := range map[string]string{"plain": "", "mutual TLS": "http/1.1", "mutual TLS, HTTP2": "h2"} {
		b.Run(name, func(b *testing.B) {
			body := make([]byte, 2000)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
			transport := new(http.Transport)
			switch protocol {
			case "":
				srv.Start()
			case "http/1.1":
				srv.TLS = server.Server()
				srv.StartTLS()
				transport = at(srv.Listener.Addr().String())
				client.Secure(transport)
			case "h2":
				srv.EnableHTTP2 = true
				srv.TLS = h2(server.files.Get().server)
				srv.StartTLS()
				transport = at(srv.Listener.Addr().String())
				transport.TLSClientConfig, transport.ForceAttemptHTTP2 = h2(clientConfig(client.files.Get(), "stocksapi")), true
			}
			defer srv.Close()
			transport.MaxIdleConnsPerHost = 64
			url := srv.URL
			if protocol != "" {
				url = "https://stocksapi:1"
			}
			caller := &http.Client{Transport: transport}
			b.SetParallelism(16)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					resp, err := caller.Get(url)
					if err != nil {
						b.Error(err)
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if err != nil || protocol == "h2" && resp.ProtoMajor != 2 {
						b.Error(err, resp.Proto)
					}
				}
			})
		})
	}
}

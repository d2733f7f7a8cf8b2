package mail

import (
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// alive reports whether a process exists, by signal 0.
func alive(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil }

func TestMailHogItselfNeedsThePassword(t *testing.T) {
	hog := startMailHog(t)
	for _, path := range []string{"/", "/api/v2/messages", "/api/v1/events", "/api/v2/websocket"} {
		resp, err := http.Get(hog.URL.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s without the password: got %s, want 401", path, resp.Status)
		}
	}
	resp, err := hog.do(t.Context(), http.MethodGet, "/api/v2/messages")
	if err != nil {
		t.Fatalf("with the password: %v", err)
	}
	resp.Body.Close()
}

func TestPasswordFileHoldsAHash(t *testing.T) {
	f, err := passwordFile("front", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	user, hash, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
	if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")); err != nil || user != "front" {
		t.Errorf("got %q: %v", line, err)
	}
}

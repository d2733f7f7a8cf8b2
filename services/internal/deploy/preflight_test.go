package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"

	"demo.example/services/internal/site"
)

func TestCheckPortTaken(t *testing.T) {
	for _, host := range loopbacks() {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		for _, runtime := range []string{Docker, Local} {
			err := checkPort(t.Context(), port, runtime)
			if err == nil {
				t.Fatalf("%s, %s: no error", host, runtime)
			}
			for _, want := range []string{"HTTPS_PORT", fmt.Sprint(port), "make up HTTPS_PORT="} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the error lacks %q: %v", host, want, err)
				}
			}
		}
		l.Close()
		if err := checkPort(t.Context(), port, Local); err != nil {
			t.Errorf("%s: a free port: %v", host, err)
		}
	}
}

func TestCheckPortPrivileged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:81")
	if err == nil {
		l.Close()
		t.Skip("this user may listen on port 81")
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	if err := checkPort(t.Context(), 81, Local); err == nil || !strings.Contains(err.Error(), "RUNTIME=docker") {
		t.Errorf("local: %v, want what to do", err)
	}
	if err := checkPort(t.Context(), 81, Docker); err != nil {
		t.Errorf("docker: %v", err)
	}
}

func TestHostsLine(t *testing.T) {
	want := "127.0.0.1 login.demo.example mcp.demo.example api.demo.example admin.demo.example mail.demo.example client.demo.example demo.example"
	if got := hostsLine(site.Site{Domain: "demo.example"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCheckNamesSaysWhatToAdd(t *testing.T) {
	var said string
	say := func(format string, args ...any) { said += fmt.Sprintf(format, args...) }
	// .invalid never resolves (RFC 6761 §6.4).
	s := site.Site{Domain: "demo.invalid", HTTPSPort: 8443}
	checkNames(t.Context(), s, say)
	if !strings.Contains(said, hostsLine(s)) || !strings.Contains(said, "/etc/hosts") {
		t.Errorf("said %q", said)
	}
}

func TestDeadEngineSaysWhatToDo(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+t.TempDir()+"/docker.sock")
	err := checkDocker(t.Context())
	if err == nil {
		t.Fatal("an engine answered")
	}
	if !strings.Contains(err.Error(), "RUNTIME=local") || !strings.Contains(err.Error(), "nstall Docker") && !strings.Contains(err.Error(), "Start Docker") {
		t.Errorf("error %v, want what to do", err)
	}

	// Nobody chose Docker: local processes it is, and why.
	var said strings.Builder
	tool := &Tool{Err: &said}
	if name, err := tool.choose(context.Background()); name != Local || err != nil {
		t.Errorf("choose: %q, %v", name, err)
	}
	if !strings.Contains(said.String(), "ocker") {
		t.Errorf("said %q, want why", said.String())
	}
	tool.Runtime = Docker
	if name, err := tool.choose(context.Background()); err == nil {
		t.Errorf("RUNTIME=docker: chose %q", name)
	}
}

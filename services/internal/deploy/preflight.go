package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"demo.example/services/internal/site"
)

// hosts are the names below the domain; the empty one is the domain itself.
var hosts = []string{"login", "mcp", "api", "admin", "mail", "client", ""}

// checkPort reports why the gateway could not listen on the port.
func checkPort(ctx context.Context, port int, runtime string) error {
	for _, host := range loopbacks() {
		if err := checkAddr(ctx, host, port, runtime); err != nil {
			return err
		}
	}
	return nil
}

// loopbacks are the addresses that the gateway is reached on: both families
// where the machine has two, because resolvers disagree on which one a
// *.localhost name means.
func loopbacks() []string {
	l, err := net.Listen("tcp", "[::1]:0") // at once
	if err != nil {
		return []string{"127.0.0.1"}
	}
	l.Close()
	return []string{"127.0.0.1", "::1"}
}

func checkAddr(ctx context.Context, host string, port int, runtime string) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EACCES) && runtime == Docker:
		// The engine has the privilege that this process lacks. Whether the
		// port is free shows when somebody answers, or nobody does.
		if !answers(ctx, addr) {
			return nil
		}
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("HTTPS_PORT: port %d needs a privilege that this user lacks. Choose one:\n"+
			"  make up HTTPS_PORT=8443\n"+
			"  make up RUNTIME=docker HTTPS_PORT=%d          (the engine may use it)\n"+
			"  sudo sysctl net.ipv4.ip_unprivileged_port_start=%d   (Linux: allow it to every user)", port, port, port)
	case !errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("HTTPS_PORT: %w", err)
	}
	return fmt.Errorf("HTTPS_PORT: port %d is in use%s. Stop that, or choose another: make up HTTPS_PORT=%d", port, holder(ctx, port), otherPort(port))
}

// answers reports whether somebody listens at addr.
func answers(ctx context.Context, addr string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func otherPort(port int) int {
	if port == 9443 {
		return 10443
	}
	return 9443
}

// holder says who listens on the port, where it can be told.
func holder(ctx context.Context, port int) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	p := strconv.Itoa(port)
	if out, err := exec.CommandContext(ctx, "docker", "ps", "--filter", "publish="+p, "--format", "{{.Names}}").Output(); err == nil {
		if name := strings.TrimSpace(string(out)); name != "" {
			return " by the container " + strings.ReplaceAll(name, "\n", ", ")
		}
	}
	out, err := exec.CommandContext(ctx, "lsof", "-nP", "-iTCP:"+p, "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	var pid, name string
	for line := range strings.SplitSeq(string(out), "\n") {
		if v, ok := strings.CutPrefix(line, "p"); ok && pid == "" {
			pid = v
		}
		if v, ok := strings.CutPrefix(line, "c"); ok && name == "" {
			name = v
		}
	}
	if pid == "" {
		return ""
	}
	return fmt.Sprintf(" by %s (process %s)", name, pid)
}

// checkNames warns about names that programs on this machine cannot resolve.
// It is advice, not an error: our own programs dial loopback by themselves.
func checkNames(ctx context.Context, s site.Site, say func(string, ...any)) {
	if strings.HasSuffix(s.Domain, ".localhost") {
		if len(unresolved(ctx, s)) > 0 {
			say("Names: browsers and curl find %s by themselves. Node, Python and Safari need this line in /etc/hosts:\n  %s", s.Domain, hostsLine(s))
		}
		return
	}
	if missing := unresolved(ctx, s); len(missing) > 0 {
		say("Names: %s (%d of %d names fail). Add this line to /etc/hosts (Windows: C:\\Windows\\System32\\drivers\\etc\\hosts):\n  %s",
			missing[0], len(missing), len(hosts), hostsLine(s))
	}
}

// hostsLine is the line of the hosts file that makes every name resolve.
func hostsLine(s site.Site) string {
	line := "127.0.0.1"
	for _, h := range hosts {
		line += " " + strings.TrimPrefix(h+"."+s.Domain, ".")
	}
	return line
}

// unresolved tells which names do not lead to this machine, and why.
func unresolved(ctx context.Context, s site.Site) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	why := make([]string, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			name := strings.TrimPrefix(h+"."+s.Domain, ".")
			addrs, err := net.DefaultResolver.LookupHost(ctx, name)
			if err != nil {
				why[i] = name + " does not resolve here"
				return
			}
			for _, a := range addrs {
				if ip := net.ParseIP(a); ip == nil || !ip.IsLoopback() {
					why[i] = name + " leads to " + a + " instead of this machine"
					return
				}
			}
		})
	}
	wg.Wait()
	var missing []string
	for _, w := range why {
		if w != "" {
			missing = append(missing, w)
		}
	}
	return missing
}

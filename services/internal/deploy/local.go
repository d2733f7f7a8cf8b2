package deploy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"demo.example/services/internal/certs"
)

// localRuntime runs the services as processes on loopback. `up` leaves a
// supervisor behind, which starts them, knows when one ends, and is asked over
// a socket to stop them: nobody has to guess what process is ours.
type localRuntime struct{ *Tool }

func (l *localRuntime) prepare(ctx context.Context, _ certs.Result) error {
	built, err := l.build(ctx, goruntime.GOOS, goruntime.GOARCH)
	if err != nil {
		return err
	}
	return layOutPrograms(built, filepath.Join(l.RunDir, "bin"))
}

// listeners are the internal addresses that are chosen at each start: one a
// service, and one more where a service has a second.
var listeners = []string{"authserver", "stocksmcp", "stocksapi", "mail", "smtp", "gateway"} // gateway: its health endpoint

// child is how a service is started.
type child struct {
	name    string
	program string
	env     map[string]string
	health  string // URL
}

// children returns the services of d as processes. Their programs, logs,
// secrets and state are below RUN_DIR.
func (l *localRuntime) children(d *Deployment) []child {
	url := func(name string) string { return "http://" + d.Addresses[name] }
	secret := func(name string) string { return filepath.Join(l.RunDir, "secrets", name) }
	port := strconv.Itoa(d.HTTPSPort)
	env := map[string]map[string]string{
		"authserver": {
			"LISTEN_ADDR":      d.Addresses["authserver"],
			"DATABASE_FILE":    filepath.Join(l.RunDir, "state", "authserver.db"),
			"SECRETS_DIR":      filepath.Join(l.RunDir, "secrets"),
			"SMTP_ADDR":        d.Addresses["smtp"],
			"CA_FILE":          d.CAFile,
			"CLIENT_HOST_ADDR": net.JoinHostPort("127.0.0.1", port),
		},
		"gateway": {
			"LISTEN_ADDR":        gatewayAddrs(port),
			"HEALTH_LISTEN_ADDR": d.Addresses["gateway"],
			"TLS_CERT_FILE":      filepath.Join(d.CertsDir, leafFile),
			"TLS_KEY_FILE":       filepath.Join(d.CertsDir, leafKeyFile),
			"AUTHSERVER_URL":     url("authserver"),
			"STOCKSMCP_URL":      url("stocksmcp"),
			"STOCKSAPI_URL":      url("stocksapi"),
			"MAIL_URL":           url("mail"),
			"CLIENT_SECRET_FILE": secret("client-gateway"),
		},
		"stocksmcp": {
			"LISTEN_ADDR":        d.Addresses["stocksmcp"],
			"AUTHSERVER_URL":     url("authserver"),
			"STOCKSAPI_URL":      url("stocksapi"),
			"CLIENT_SECRET_FILE": secret("client-stocksmcp"),
		},
		"stocksapi": {
			"LISTEN_ADDR":        d.Addresses["stocksapi"],
			"AUTHSERVER_URL":     url("authserver"),
			"CLIENT_SECRET_FILE": secret("client-stocksapi"),
			"ORDERS_FILE":        filepath.Join(l.RunDir, "state", "orders.db"),
		},
		"mail": {
			"LISTEN_ADDR":      d.Addresses["mail"],
			"SMTP_LISTEN_ADDR": d.Addresses["smtp"],
			"MAILHOG_BIN":      filepath.Join(l.RunDir, "bin", "mailhog"),
		},
	}
	var all []child
	for _, name := range Services {
		e := env[name]
		e["DOMAIN"], e["HTTPS_PORT"] = d.Domain, port
		for _, pass := range []string{"PATH", "HOME", "TMPDIR"} {
			if v := lookup(l.Environ, pass); v != "" {
				e[pass] = v
			}
		}
		for _, pass := range passed[name] {
			if v := d.Settings[pass]; v != "" {
				e[pass] = v
			}
		}
		all = append(all, child{name: name, program: filepath.Join(l.RunDir, "bin", name), env: e, health: url(name) + "/healthz"})
	}
	return all
}

// gatewayAddrs is where the gateway listens, as it wants to be told.
func gatewayAddrs(port string) string {
	var addrs []string
	for _, host := range loopbacks() {
		addrs = append(addrs, net.JoinHostPort(host, port))
	}
	return strings.Join(addrs, ",")
}

// freeAddresses picks a free loopback port for each name. The range is below
// the one from which systems take the ports of outgoing connections, so that
// a service which is stopped for a while finds its port again.
func freeAddresses(ctx context.Context, names []string) (map[string]string, error) {
	addrs := map[string]string{}
	taken := map[string]bool{}
	for _, name := range names {
		for range 100 {
			addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
			if taken[addr] {
				continue
			}
			if l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err == nil {
				l.Close()
				addrs[name], taken[addr] = addr, true
				break
			}
		}
		if addrs[name] == "" {
			return nil, errors.New("no free port between 20000 and 31999 on 127.0.0.1")
		}
	}
	return addrs, nil
}

func (l *localRuntime) up(ctx context.Context, pki certs.Result, d *Deployment) error {
	var files []string
	for _, s := range Services {
		for p := range programs(s) {
			files = append(files, filepath.Join(l.RunDir, "bin", p))
		}
	}
	rev, err := revision(append(files, pki.CertFile), append(environOf(d.Settings), d.Domain, strconv.Itoa(d.HTTPSPort), d.CertsDir)...)
	if err != nil {
		return err
	}
	if l.upToDate(ctx, rev) {
		d.Addresses, d.ControlSocket, d.Revision = l.Last.Addresses, l.Last.ControlSocket, rev
		l.say("It is up already, and up to date.")
		return nil
	}
	if err := l.down(ctx); err != nil {
		return err
	}
	for _, dir := range []string{"logs", "state"} {
		if err := os.MkdirAll(filepath.Join(l.RunDir, dir), 0o700); err != nil {
			return err
		}
	}
	if d.Addresses, err = freeAddresses(ctx, listeners); err != nil {
		return err
	}
	if d.ControlSocket, err = socketPath(l.RunDir); err != nil {
		return err
	}
	if err := d.save(l.RunDir); err != nil {
		return err
	}
	l.Last = d
	if err := l.launch(ctx, d); err != nil {
		return errors.Join(err, l.down(ctx))
	}
	d.Revision = rev
	return nil
}

// upToDate reports whether everything runs, from the newest programs.
func (l *localRuntime) upToDate(ctx context.Context, rev string) bool {
	if l.Last == nil || l.Last.Revision != rev {
		return false
	}
	all, err := l.status(ctx)
	for _, s := range all {
		if s.State != stateRunning {
			return false
		}
	}
	return err == nil && len(all) == len(Services)
}

// launch starts the supervisor detached from the terminal, so that it outlives
// it, and waits until every service is healthy.
func (l *localRuntime) launch(ctx context.Context, d *Deployment) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logName := filepath.Join(l.RunDir, "logs", "supervisor.log")
	log, err := openLog(logName)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise") // it outlives ctx
	cmd.Dir = l.Root
	cmd.Env = slices.Concat(l.Environ, []string{"RUN_DIR=" + l.RunDir, "GOMAXPROCS=1", "GOGC=50"}) // it has next to nothing to do
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(gone)
	}()

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	waiting := l.children(d)
	var lastErr error
	for {
		var unhealthy []child
		for _, c := range waiting {
			if err := get(ctx, http.DefaultClient, c.health); err != nil {
				lastErr = err
				unhealthy = append(unhealthy, c)
			}
		}
		if waiting = unhealthy; len(waiting) == 0 {
			return nil
		}
		all, err := l.status(ctx)
		if err != nil {
			all = nil // the socket is not there yet
		}
		for _, s := range all {
			if s.State == stateFailed {
				return l.failed(s.Name, s.Detail)
			}
		}
		select {
		case <-gone:
			return fmt.Errorf("the supervisor ended; the end of its log:\n%s", tail(logName, 15))
		case <-ctx.Done():
			return errors.Join(l.failed(waiting[0].name, "not healthy after 30 seconds"), lastErr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *localRuntime) logFile(service string) string {
	return filepath.Join(l.RunDir, "logs", service+".log")
}

func (l *localRuntime) failed(service, detail string) error {
	return fmt.Errorf("%s: %s; the end of its log, %s:\n%s", service, detail, l.logFile(service), tail(l.logFile(service), 15))
}

// tail returns the last lines of a log for an error; a log that cannot be read
// adds nothing to it.
func tail(name string, lines int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b), lines)
}

func (l *localRuntime) control() *controlClient {
	if l.Last == nil || l.Last.Runtime != Local {
		return nil
	}
	return newControlClient(l.Last.ControlSocket)
}

func (l *localRuntime) running(ctx context.Context) (bool, error) {
	c := l.control()
	if c == nil {
		return false, nil
	}
	_, err := c.status(ctx)
	return err == nil, nil
}

func (l *localRuntime) down(ctx context.Context) error {
	if running, _ := l.running(ctx); !running {
		return nil
	}
	return l.control().down(ctx)
}

// clean has nothing to add: everything is in RUN_DIR.
func (l *localRuntime) clean(ctx context.Context) error { return l.down(ctx) }

func (l *localRuntime) status(ctx context.Context) ([]ServiceStatus, error) {
	c := l.control()
	if c == nil {
		return nil, errNotUp
	}
	all, err := c.status(ctx)
	if err != nil {
		return nil, errDown // nobody listens: it does not help to know how that looks
	}
	return all, nil
}

func (l *localRuntime) stop(ctx context.Context, service string) error {
	if _, err := l.status(ctx); err != nil {
		return err
	}
	return l.control().stop(ctx, service)
}

func (l *localRuntime) start(ctx context.Context, service string) error {
	if _, err := l.status(ctx); err != nil {
		return err
	}
	if err := l.control().start(ctx, service); err != nil {
		return err
	}
	for _, c := range l.children(l.Last) {
		if c.name == service {
			if err := waitFor(ctx, 20*time.Second, func(ctx context.Context) error {
				return get(ctx, http.DefaultClient, c.health)
			}); err != nil {
				return errors.Join(l.failed(service, "not healthy"), err)
			}
		}
	}
	return nil
}

func (l *localRuntime) logs(_ context.Context, services []string) error {
	if len(services) == 0 {
		services = Services
	}
	for _, s := range services {
		for line := range strings.Lines(tail(l.logFile(s), 100) + "\n") {
			fmt.Fprintf(l.Out, "%-11s| %s", s, line)
		}
	}
	return nil
}

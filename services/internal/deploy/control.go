package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// socketName and socketDirPrefix tell what removeSocket may remove.
const (
	socketName      = "control.sock"
	socketDirPrefix = "mcp-oauth-demo-"
)

// maxSocketPath is what every system takes as the path of a Unix socket.
const maxSocketPath = 103

// socketPath is where the supervisor listens: in RUN_DIR, or where that is too
// long a path in a new directory that only this user can enter.
func socketPath(runDir string) (string, error) {
	path := filepath.Join(runDir, socketName)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	dir, err := os.MkdirTemp("", socketDirPrefix) // mode 0700
	return filepath.Join(dir, socketName), err
}

// removeSocket removes the socket, and the directory that socketPath made.
func removeSocket(socket string) error {
	err := os.Remove(socket)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the listener removed it
	}
	if dir := filepath.Dir(socket); strings.HasPrefix(filepath.Base(dir), socketDirPrefix) {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}

// routes is what the supervisor can be asked. Whoever can open the socket is
// the user who started it.
func (s *supervisor) routes(shutDown func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s.status()) // a client that hung up cannot be told so
	})
	mux.HandleFunc("POST /stop/{name}", func(w http.ResponseWriter, r *http.Request) {
		if s.known(w, r) {
			s.stop(r.PathValue("name"))
		}
	})
	mux.HandleFunc("POST /start/{name}", func(w http.ResponseWriter, r *http.Request) {
		if !s.known(w, r) {
			return
		}
		if err := s.start(r.PathValue("name")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) {
		s.stopAll()
		shutDown()
	})
	return mux
}

func (s *supervisor) known(w http.ResponseWriter, r *http.Request) bool {
	_, ok := s.children[r.PathValue("name")]
	if !ok {
		http.Error(w, "no such service", http.StatusNotFound)
	}
	return ok
}

// controlClient asks a supervisor.
type controlClient struct{ http http.Client }

func newControlClient(socket string) *controlClient {
	return &controlClient{http.Client{
		Timeout: stopTime + 5*time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}}
}

func (c *controlClient) do(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("supervisor: %s", strings.TrimSpace(string(body)))
	}
	return body, err
}

func (c *controlClient) status(ctx context.Context) ([]ServiceStatus, error) {
	body, err := c.do(ctx, http.MethodGet, "/status")
	if err != nil {
		return nil, err
	}
	var all []ServiceStatus
	return all, json.Unmarshal(body, &all)
}

func (c *controlClient) stop(ctx context.Context, name string) error {
	_, err := c.do(ctx, http.MethodPost, "/stop/"+name)
	return err
}

func (c *controlClient) start(ctx context.Context, name string) error {
	_, err := c.do(ctx, http.MethodPost, "/start/"+name)
	return err
}

// down stops everything and returns when the supervisor is gone as well.
func (c *controlClient) down(ctx context.Context) error {
	if _, err := c.do(ctx, http.MethodPost, "/down"); err != nil {
		return err
	}
	gone := waitFor(ctx, 5*time.Second, func(ctx context.Context) error {
		if _, err := c.status(ctx); err == nil {
			return errors.New("the supervisor still answers")
		}
		return nil
	})
	return gone
}

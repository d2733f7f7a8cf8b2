// Package httpserver serves HTTP the way every service here does: bounded
// time and size, a request id, one log line a request, a clean end.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// shutdownTime is how long requests in flight get when the service stops.
const shutdownTime = 10 * time.Second

// New returns a server with limits that keep a slow or huge request from
// holding resources. There is no write timeout: MCP answers are streams, whose
// handlers bound themselves.
func New(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // broken connections of strangers
	}
}

// Serve answers on every address (comma separated) until ctx ends, then lets
// requests in flight finish. It uses TLS when srv.TLSConfig is set. Its errors
// name variable, the setting that addrs came from.
func Serve(ctx context.Context, srv *http.Server, variable, addrs string, log *slog.Logger) error {
	var listeners []net.Listener
	for addr := range strings.SplitSeq(addrs, ",") {
		l, err := listen(ctx, strings.TrimSpace(addr))
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return fmt.Errorf("%s: %w; stop what uses the address or choose another", variable, err)
		}
		listeners = append(listeners, l)
	}
	secure := srv.TLSConfig != nil // asked before the first Serve, which sets it
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		log.Info("listening", "addr", l.Addr().String())
		g.Go(func() error {
			var err error
			if secure {
				err = srv.ServeTLS(l, "", "")
			} else {
				err = srv.Serve(l)
			}
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		<-gctx.Done()
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(gctx), shutdownTime)
		defer cancel()
		return srv.Shutdown(stopCtx)
	})
	err := g.Wait()
	log.Info("stopped")
	return err
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, errors.New("an address is empty") // Go would take any port on every interface
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
)

const (
	maxQueue   = 8 << 20  // bytes that wait; what comes after them is lost
	maxBatch   = 48 << 10 // bytes sent at a time
	maxEvent   = 8 << 10
	flushEvery = 200 * time.Millisecond
	sendTime   = 5 * time.Second // for one batch
	goodbye    = 2 * time.Second // for what is left when the service stops
	maxBackoff = 5 * time.Second
)

// Path is where the authorization server takes events.
const Path = "/audit"

// Sender is a Recorder that sends events to the authorization server, a few
// at a time. It keeps what it could not send and tries again; when it must
// give events up, it says how many in the trail itself.
type Sender struct {
	service  string
	endpoint string
	secret   config.Secret
	client   *http.Client
	log      *slog.Logger
	now      func() time.Time

	strangers Strangers

	mu    sync.Mutex
	queue [][]byte // JSON
	size  int      // bytes in queue
	lost  int
	full  chan struct{} // a whole batch waits
}

// NewSender returns a sender for one service, which authenticates as the
// client of that name. Start does the sending.
func NewSender(service string, authserver url.URL, secret config.Secret, client *http.Client, log *slog.Logger) *Sender {
	return &Sender{
		service: service, endpoint: authserver.JoinPath(Path).String(), secret: secret,
		client: client, log: log, now: time.Now, full: make(chan struct{}, 1),
	}
}

// Record implements Recorder.
func (s *Sender) Record(ctx context.Context, e Event) {
	raw, err := json.Marshal(Complete(ctx, e, s.service, s.now()))
	wanted := s.strangers.Take(e, s.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !wanted || err != nil || len(raw) > maxEvent || s.size+len(raw) > maxQueue {
		s.lost++
		return
	}
	s.queue = append(s.queue, raw)
	s.size += len(raw)
	if s.size >= maxBatch {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// Start begins to send. Call stop when nothing is recorded any more: it sends
// what is left.
func (s *Sender) Start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// run sends until ctx ends, and then what is left.
func (s *Sender) run(ctx context.Context) {
	var failing bool
	wait := flushEvery
	for {
		timer := time.NewTimer(wait)
		full := s.full
		if failing {
			full = nil // waiting has a reason
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			s.finish(ctx)
			return
		case <-full:
		case <-timer.C:
		}
		timer.Stop()
		err := s.flush(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			if !failing {
				s.log.Error("audit trail out of reach; events are kept until it is back", "error", err.Error())
			}
			failing, wait = true, min(2*wait, maxBackoff)
		case failing && err == nil:
			s.log.Info("audit trail is back")
			failing, wait = false, flushEvery
		}
	}
}

// finish sends what waits when the service stops. What cannot be sent is lost
// with the process, and logged.
func (s *Sender) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log.Error("audit events lost", "events", len(s.queue)+s.lost, "error", err.Error())
	}
}

// flush sends all that waits, a batch at a time, and before it how many events
// were lost.
func (s *Sender) flush(ctx context.Context) error {
	for {
		batch, lost := s.next()
		if len(batch) == 0 && lost == 0 {
			return nil
		}
		err := s.send(ctx, batch, lost)
		s.mu.Lock()
		switch {
		case err == nil:
			s.drop(len(batch))
			s.lost -= lost
		case errors.Is(err, errRefused): // sending these again would not help
			s.drop(len(batch))
			s.lost += len(batch)
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// drop removes the first n events.
func (s *Sender) drop(n int) {
	for _, e := range s.queue[:n] {
		s.size -= len(e)
	}
	s.queue = s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil // what an outage filled is not kept for ever
	}
}

// next returns the batch to send, which it leaves in the queue, and how many
// events were lost.
func (s *Sender) next() (batch [][]byte, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, n := 0, 0
	for n < len(s.queue) && (n == 0 || size+len(s.queue[n]) < maxBatch) {
		size += len(s.queue[n]) + 1 // and a comma
		n++
	}
	return s.queue[:n:n], s.lost
}

// errRefused says that the authorization server does not want a batch.
var errRefused = errors.New("refused")

func (s *Sender) send(ctx context.Context, batch [][]byte, lost int) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if lost > 0 {
		e := Event{Kind: Lost, Decision: Failed, Detail: map[string]string{"events": strconv.Itoa(lost)}}
		raw, err := json.Marshal(Complete(ctx, e, s.service, s.now()))
		if err != nil {
			return err
		}
		batch = append(batch, raw)
	}
	body := append(append([]byte{'['}, bytes.Join(batch, []byte{','})...), ']')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	oauth.SetClientAuth(req, s.service, string(s.secret))
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: status %d", errRefused, resp.StatusCode)
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

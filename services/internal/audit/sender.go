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

	reportEvery = 10 * time.Second // what was given up: a flood must not become one of reports
	maxReports  = 10               // sent with a batch
)

// Path is where the authorization server takes events.
const Path = "/audit"

// Sender is a Recorder that sends events to the authorization server, a few
// at a time. It keeps what it could not send and tries again; when it must
// give events up, it says how many, and of whom, in the trail itself.
type Sender struct {
	service  string
	endpoint string
	secret   config.Secret
	client   *http.Client
	log      *slog.Logger
	now      func() time.Time

	quotas Quotas

	mu     sync.Mutex
	queue  [][]byte       // JSON
	size   int            // bytes in queue
	lost   map[string]int // events that were given up, by their user
	report time.Time      // when that is to be told
	full   chan struct{}  // a whole batch waits
}

// NewSender returns a sender for one service, which authenticates as the
// client of that name. Start does the sending.
func NewSender(service string, authserver url.URL, secret config.Secret, client *http.Client, log *slog.Logger) *Sender {
	return &Sender{
		service: service, endpoint: authserver.JoinPath(Path).String(), secret: secret,
		client: client, log: log, now: time.Now, lost: map[string]int{}, full: make(chan struct{}, 1),
	}
}

// Record implements Recorder.
func (s *Sender) Record(ctx context.Context, e Event) {
	raw, err := json.Marshal(Complete(ctx, e, s.service, s.now()))
	wanted := s.quotas.Take(e, s.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !wanted || err != nil || len(raw) > maxEvent || s.size+len(raw) > maxQueue {
		s.lose(e.User, 1)
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

// lose counts events of a user that are given up.
func (s *Sender) lose(user string, events int) {
	if len(s.lost) == 0 {
		s.report = s.now().Add(reportEvery)
	}
	if len(s.lost) >= maxUsers {
		user = ""
	}
	s.lost[bounded(user)] += events
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
		err := s.flush(ctx, false)
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
	if err := s.flush(ctx, true); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		events := len(s.queue)
		for _, n := range s.lost {
			events += n
		}
		s.log.Error("audit events lost", "events", events, "error", err.Error())
	}
}

// flush sends all that waits, a batch at a time, and with it what was lost when
// that is due, or this is the last time.
func (s *Sender) flush(ctx context.Context, last bool) error {
	lost := s.takeLost(last)
	for {
		batch, reports := s.next(), lost[:min(len(lost), maxReports)]
		if len(batch) == 0 && len(reports) == 0 {
			return nil
		}
		err := s.send(ctx, batch, reports)
		s.mu.Lock()
		switch {
		case err == nil:
			s.drop(len(batch))
			lost = lost[len(reports):]
		case errors.Is(err, errRefused): // sending these again would not help
			s.drop(len(batch))
			s.lose("", len(batch))
		}
		if err != nil {
			for _, l := range lost {
				s.lose(l.user, l.events)
			}
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// loss is how many events of a user were given up.
type loss struct {
	user   string
	events int
}

// takeLost returns what was lost when that is to be told, and counts from zero.
func (s *Sender) takeLost(now bool) (lost []loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now && s.now().Before(s.report) {
		return nil
	}
	for user, events := range s.lost {
		lost = append(lost, loss{user, events})
	}
	clear(s.lost)
	return lost
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

// next returns the batch to send, which it leaves in the queue.
func (s *Sender) next() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, n := 0, 0
	for n < len(s.queue) && (n == 0 || size+len(s.queue[n]) < maxBatch) {
		size += len(s.queue[n]) + 1 // and a comma
		n++
	}
	return s.queue[:n:n]
}

// errRefused says that the authorization server does not want a batch.
var errRefused = errors.New("refused")

func (s *Sender) send(ctx context.Context, batch [][]byte, lost []loss) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	for _, l := range lost {
		e := Event{Kind: Lost, Decision: Failed, User: l.user, Detail: map[string]string{"events": strconv.Itoa(l.events)}}
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

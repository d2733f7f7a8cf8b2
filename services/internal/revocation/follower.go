package revocation

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
)

// MediaType is what a stream is served as.
const MediaType = "text/event-stream"

const (
	answerTime = time.Second     // until a stream begins
	giveUp     = 3 * time.Second // of silence, until another stream is tried

	// Between two tries, before jitter. A service that is back is found well
	// within a second.
	firstPause = 100 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// Follower keeps a Watch informed.
type Follower struct {
	URL      string // of the stream
	ClientID string
	Secret   config.Secret
	Client   *http.Client // without a time-out
	Watch    *Watch
	Log      *slog.Logger

	said string // the state that the log knows
}

// Run follows the stream, and begins it anew whenever it ends, until ctx does.
func (f *Follower) Run(ctx context.Context) {
	pause := firstPause
	for {
		began, err := f.follow(ctx)
		f.Watch.Lost()
		if ctx.Err() != nil {
			return
		}
		f.say("lost", err)
		if began {
			pause = firstPause
		}
		// Those that were cut off together do not come back together.
		jittered := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			jittered.Stop()
			return
		case <-jittered.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// follow reads one stream to its end, which always has a reason.
func (f *Follower) follow(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := f.open(ctx, cancel)
	if err != nil {
		return false, err
	}
	defer body.Close()
	f.Watch.Connected() // the server listened for events before it answered
	f.say("connected", nil)

	lines := make(chan string)
	var unread error // why there are no more lines; read once there are none
	go func() {
		defer close(lines)
		s := bufio.NewScanner(body)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
		unread = s.Err()
	}()
	defer func() {
		cancel()
		for range lines { // until the goroutine has ended
		}
	}()

	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for silent := false; ; {
		select {
		case <-quiet.C:
			err := errors.New("nothing is heard of it")
			if silent {
				return true, err
			}
			f.say("lost", err)
			silent = true
			quiet.Reset(giveUp - silence)
		case line, more := <-lines:
			if !more {
				return true, fmt.Errorf("it ended: %w", cmp.Or(unread, io.EOF))
			}
			event, ok, err := Parse(line)
			switch {
			case err != nil:
				return true, err
			case ok:
				f.Watch.Ended(event)
			default:
				f.Watch.Heard()
			}
			silent = false
			quiet.Reset(silence)
			f.say("connected", nil)
		}
	}
}

// open asks for the stream. cancel ends a try that gets no answer.
func (f *Follower) open(ctx context.Context, cancel func()) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", MediaType)
	oauth.SetClientAuth(req, f.ClientID, string(f.Secret))
	unanswered := time.AfterFunc(answerTime, cancel)
	resp, err := f.Client.Do(req)
	inTime := unanswered.Stop()
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		err = errors.New("the authorization server refuses our credentials; check CLIENT_SECRET_FILE")
	case resp.StatusCode != http.StatusOK || media != MediaType:
		err = fmt.Errorf("unexpected answer: status %d, type %q", resp.StatusCode, media)
	case !inTime:
		err = errors.New("the answer came too late")
	default:
		return resp.Body, nil
	}
	resp.Body.Close()
	return nil, err
}

// say logs a change of state, once.
func (f *Follower) say(state string, why error) {
	if f.said == state {
		return
	}
	f.said = state
	if state == "connected" {
		f.Log.Info("revocation stream connected")
		return
	}
	f.Log.Warn("revocation stream lost; answers are remembered for a second only until it is back", "reason", why.Error())
}

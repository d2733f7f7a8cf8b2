package revocation

import (
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

var subject = Subject{Token: "t", Grant: "g", User: "u", Client: "c"}

// clock is a time that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time          { return c.Time }
func (c *clock) advance(d time.Duration) { c.Time = c.Add(d) }

// TestHolds: attack R11. Each case asks at the beginning, of a watch that is
// connected, and then whether the answer still holds.
func TestHolds(t *testing.T) {
	type step = func(*Watch, *clock)
	wait := func(d time.Duration) step { return func(_ *Watch, c *clock) { c.advance(d) } }
	alive := func(d time.Duration) step { // with a heartbeat every now and then
		return func(w *Watch, c *clock) {
			for range d / Heartbeat {
				c.advance(Heartbeat)
				w.Heard()
			}
		}
	}
	event := func(kind Kind, id string) step { return func(w *Watch, _ *clock) { w.Ended(Event{kind, id}) } }
	lost := func(w *Watch, _ *clock) { w.Lost() }
	connected := func(w *Watch, _ *clock) { w.Connected() }
	tests := map[string]struct {
		steps []step
		want  bool
	}{
		"at once":                        {nil, true},
		"alive":                          {[]step{alive(59 * time.Second)}, true},
		"at the end of its time":         {[]step{alive(time.Minute)}, false},
		"silent, within the bound":       {[]step{wait(Bound - 1)}, true},
		"silent":                         {[]step{wait(Bound)}, false},
		"silent after a while":           {[]step{alive(5 * time.Second), wait(silence)}, false},
		"nearly silent":                  {[]step{alive(5 * time.Second), wait(silence - 1)}, true},
		"heard again on the same stream": {[]step{alive(5 * time.Second), wait(silence), alive(Heartbeat)}, true},
		"lost, within the bound":         {[]step{lost, wait(Bound - 1)}, true},
		"lost":                           {[]step{alive(2 * time.Second), lost}, false},
		"another stream":                 {[]step{alive(2 * time.Second), lost, connected}, false},
		"another stream, in the bound":   {[]step{lost, connected, wait(Bound - 1)}, true},
		"the token":                      {[]step{event(Token, "t")}, false},
		"the grant":                      {[]step{event(Grant, "g")}, false},
		"the user":                       {[]step{event(User, "u")}, false},
		"the client":                     {[]step{event(Client, "c")}, false},
		"the token, and the stream ends": {[]step{event(Token, "t"), lost}, false},
		"another token":                  {[]step{event(Token, "x"), alive(10 * time.Second)}, true},
		"a user called like the token":   {[]step{event(User, "t"), alive(10 * time.Second)}, true},
		"revoked long ago":               {[]step{event(Grant, "g"), alive(58 * time.Second)}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &clock{time.Now()}
			w := NewWatch(time.Minute, c.now)
			w.Connected()
			w.Ended(Event{Token, "t"}) // before the question: the answer knows
			asked := w.Ask()
			for _, step := range tt.steps {
				step(w, c)
			}
			if got := w.Holds(asked, subject, c.now()); got != tt.want {
				t.Errorf("holds: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAskedBeforeTheStream(t *testing.T) {
	c := &clock{time.Now()}
	w := NewWatch(time.Minute, c.now)
	asked := w.Ask()
	w.Connected() // between question and answer: something may have ended before
	c.advance(Bound)
	w.Heard()
	if w.Holds(asked, subject, c.now()) {
		t.Error("R11 an answer from before the stream began is used for longer than the bound")
	}
}

func TestUnnamedSubjects(t *testing.T) {
	c := &clock{time.Now()}
	w := NewWatch(time.Minute, c.now)
	w.Connected()
	asked := w.Ask()
	c.advance(Bound)
	w.Heard()
	for _, s := range []Subject{{}, {Token: "t"}, {Token: "t", User: "u", Client: "c"}, {Grant: "g", User: "u", Client: "c"}} {
		if w.Holds(asked, s, c.now()) {
			t.Errorf("R11 %+v is kept, though no event could name all of it", s)
		}
	}
}

func TestSubjectOf(t *testing.T) {
	for jti, want := range map[string]string{"ABC": "ABC", "ABC.XYZ": "ABC", "ABC.X.Y": "ABC"} {
		got := SubjectOf(token.Claims{RegisteredClaims: jwt.RegisteredClaims{ID: jti, Subject: "u"}, GrantID: "g", ClientID: "c"})
		if d := cmp.Diff(Subject{want, "g", "u", "c"}, got); d != "" {
			t.Error(d)
		}
	}
}

func TestState(t *testing.T) {
	c := &clock{time.Now()}
	w := NewWatch(time.Minute, c.now)
	for i, s := range []struct {
		happens func()
		want    string
	}{
		{func() {}, "lost"},
		{w.Connected, "connected"},
		{func() { c.advance(silence) }, "lost"},
		{w.Heard, "connected"},
		{w.Lost, "lost"},
		{w.Connected, "connected"},
	} {
		s.happens()
		if got := w.State(); got != s.want {
			t.Errorf("step %d: %s, want %s", i, got, s.want)
		}
	}
}

// TestEventsAreBounded: a flood costs questions, and lets nothing pass.
func TestEventsAreBounded(t *testing.T) {
	c := &clock{time.Now()}
	w := NewWatch(time.Minute, c.now)
	w.Connected()
	before := w.Ask()
	w.Ended(Event{Token, "t"})
	for i := range maxEvents {
		w.Ended(Event{Grant, fmt.Sprint(i)})
	}
	if len(w.recent) != maxEvents || len(w.numbers) != maxEvents {
		t.Errorf("%d events are remembered, %d by name", len(w.recent), len(w.numbers))
	}
	if w.Holds(before, subject, c.now()) {
		t.Error("R11 a revocation was pushed out by others")
	}
	if after := w.Ask(); !w.Holds(after, subject, c.now()) {
		t.Error("what was asked for after the flood is not used")
	}
	c.advance(time.Minute + slowest + 1)
	w.Ended(Event{Token, "last"})
	if len(w.recent) != 1 || len(w.numbers) != 1 {
		t.Errorf("%d events are remembered for longer than any answer", len(w.recent))
	}
}

func BenchmarkHolds(b *testing.B) {
	w := NewWatch(time.Minute, time.Now)
	w.Connected()
	asked := w.Ask()
	for i := range 1000 {
		w.Ended(Event{Grant, fmt.Sprint(i)})
	}
	now := time.Now()
	for b.Loop() {
		w.Holds(asked, subject, now)
	}
}

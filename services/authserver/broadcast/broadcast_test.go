package broadcast

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/revocation"
)

func event(id string) revocation.Event { return revocation.Event{Kind: revocation.Token, ID: id} }

func subscribe(t *testing.T, h *Hub) *Subscription {
	t.Helper()
	s, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func over(s *Subscription) bool {
	select {
	case <-s.Over:
		return true
	default:
		return false
	}
}

func TestEverybodyIsToldInOrder(t *testing.T) {
	h := New(2)
	h.Publish(event("before anybody listened"))
	one, two := subscribe(t, h), subscribe(t, h)
	want := []revocation.Event{event("1"), event("2"), event("3")}
	for _, e := range want {
		h.Publish(e)
	}
	for _, s := range []*Subscription{one, two} {
		var got []revocation.Event
		for range want {
			got = append(got, <-s.Events)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestSubscribersAreBounded(t *testing.T) {
	h := New(1)
	s := subscribe(t, h)
	if _, err := h.Subscribe(); err == nil {
		t.Error("a second one got in")
	}
	s.Close()
	s.Close()
	if !over(s) {
		t.Error("the subscription is not over")
	}
	subscribe(t, h)
}

// TestSlowSubscriber: attack R11. Whoever does not read is cut off, and holds up
// neither the one who revokes nor the others.
func TestSlowSubscriber(t *testing.T) {
	h := New(2)
	slow, quick := subscribe(t, h), subscribe(t, h)
	for i := range buffered + 1 {
		h.Publish(event(fmt.Sprint(i)))
		<-quick.Events
	}
	if !over(slow) || over(quick) || len(slow.Events) > 0 {
		t.Errorf("over: slow %t, quick %t; %d events wait", over(slow), over(quick), len(slow.Events))
	}
	subscribe(t, h) // there is room again
}

func TestClose(t *testing.T) {
	h := New(2)
	s := subscribe(t, h)
	h.Close()
	h.Close()
	h.Publish(event("late"))
	if !over(s) {
		t.Error("the subscription is not over")
	}
	if _, err := h.Subscribe(); err == nil {
		t.Error("a closed hub takes subscribers")
	}
	s.Close()
}

func TestAllAtOnce(t *testing.T) {
	h := New(50)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s, err := h.Subscribe()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			h.Publish(event("x"))
			<-s.Events
		})
	}
	wg.Wait()
	if len(h.subs) != 0 {
		t.Errorf("%d are left", len(h.subs))
	}
}

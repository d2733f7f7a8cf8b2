package admin

import (
	"strings"
	"testing"
	"time"
)

// TestSignInIsItsCookie: state, nonce and verifier belong to one cookie, and
// say nothing of one another.
func TestSignInIsItsCookie(t *testing.T) {
	s := &Server{Config: Config{Key: []byte("key"), Now: time.Now}}
	in, other := s.newSignIn("/admin/users?after=x"), s.newSignIn("/admin/users?after=x")
	read, ok := parseSignIn(in.cookie)
	if !ok || read.page != in.page || read.began.Unix() != in.began.Unix() || s.state(read) != s.state(in) {
		t.Errorf("%+v, %v", read, ok)
	}
	seen := map[string]bool{}
	for _, v := range []string{s.state(in), s.nonce(in), s.verifier(in), s.state(other), s.nonce(other), s.verifier(other)} {
		if seen[v] || len(v) != 43 { // RFC 7636 §4.1 wants 43 of a verifier
			t.Errorf("%q", v)
		}
		seen[v] = true
	}
	s.Key = []byte("another")
	if seen[s.state(in)] {
		t.Error("another server's key makes the same state")
	}
}

// FuzzParseSignIn: a cookie is read as it was made, or not at all.
func FuzzParseSignIn(f *testing.F) {
	s := &Server{Config: Config{Key: []byte("key"), Now: time.Now}}
	good := s.newSignIn("/admin").cookie
	for _, c := range []string{"", good, good + ".x", strings.Replace(good, ".", "", 1), "a.1.", strings.Repeat("A", 26) + ".x.L2FkbWlu", strings.Repeat("A", 26) + ".1.%"} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if in, ok := parseSignIn(cookie); ok && (in.cookie != cookie || strings.Count(cookie, ".") != 2) {
			t.Errorf("%q is read as %+v", cookie, in)
		}
	})
}

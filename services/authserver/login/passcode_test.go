package login

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// wrong returns a passcode that is not this one.
func wrong(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

func TestPasscodeForm(t *testing.T) {
	form := regexp.MustCompile(`^[0-9]{8}$`)
	var first [10]int
	seen := map[string]bool{}
	const n = 5000
	for range n {
		code := newPasscode()
		if !form.MatchString(code) {
			t.Fatalf("%q", code)
		}
		first[code[0]-'0']++
		seen[code] = true
	}
	for digit, count := range first {
		// 500 are expected; a fair source is off by 150 once in 10^11 runs.
		if count < n/10-150 || count > n/10+150 {
			t.Errorf("%d of %d passcodes begin with %d", count, n, digit)
		}
	}
	if len(seen) < n-10 {
		t.Errorf("%d of %d passcodes are different", len(seen), n)
	}
}

func TestSignIn(t *testing.T) {
	f := newFixture(t)
	code := f.send("r1", "  John.DOE@demo.example ")
	want := []Message{{To: john, Passcode: code, Lifetime: 5 * time.Minute}}
	if diff := cmp.Diff(want, f.mails); diff != "" {
		t.Fatalf("mails (-want +got):\n%s", diff)
	}
	sent, err := f.Sent(t.Context(), "r1")
	if diff := cmp.Diff(Passcode{Email: john, SentAt: f.now, ExpiresAt: f.now.Add(5 * time.Minute), TriesLeft: 5}, sent); err != nil || diff != "" {
		t.Errorf("Sent: %v (-want +got):\n%s", err, diff)
	}
	cookie, err := f.check("r1", " "+code[:4]+" - "+code[4:]+"\n") // as people paste it
	if err != nil || len(cookie) < 26 {
		t.Fatalf("Check: %q, %v", cookie, err)
	}
	r, err := f.db.Request(t.Context(), "r1", store.Hash{}, f.now)
	if err != nil || r.UserID != f.user(john).ID || !r.AuthTime.Equal(f.now) {
		t.Errorf("the request is signed in as %q at %v, %v", r.UserID, r.AuthTime, err)
	}
	if _, u, ok, err := f.Session(t.Context(), cookie); !ok || err != nil || u.Email != john {
		t.Errorf("the session is %v's: %v, %v", u, ok, err)
	}
	if _, err := f.check("r1", code); !errors.Is(err, ErrNoPasscode) {
		t.Errorf("the same passcode again: %v", err)
	}
	if _, err := f.Sent(t.Context(), "r1"); !errors.Is(err, ErrNoPasscode) {
		t.Errorf("Sent after it was used: %v", err)
	}
	if strings.Contains(f.logs.String(), code) || strings.Contains(f.logs.String(), john) {
		t.Errorf("the log holds the passcode or the address: %s", &f.logs)
	}
}

// TestNobodyLearnsWhoIsKnown: for every address the same steps and answers;
// only the mail makes the difference (attack O7).
func TestNobodyLearnsWhoIsKnown(t *testing.T) {
	for _, email := range []string{"nobody@demo.example", suspended, pending} {
		f := newFixture(t)
		if code := f.send("r1", email); code != "" || len(f.mails) != 0 {
			t.Errorf("%s got mail", email)
		}
		sent, err := f.Sent(t.Context(), "r1")
		if diff := cmp.Diff(Passcode{Email: email, SentAt: f.now, ExpiresAt: f.now.Add(5 * time.Minute), TriesLeft: 5}, sent); err != nil || diff != "" {
			t.Errorf("%s: Sent: %v (-want +got):\n%s", email, err, diff)
		}
		for try := range 6 {
			want := ErrWrong
			if try == 5 {
				want = ErrNoPasscode
			}
			if _, err := f.check("r1", "12345678"); !errors.Is(err, want) {
				t.Errorf("%s: try %d: %v, want %v", email, try+1, err, want)
			}
		}
		if strings.Contains(f.logs.String(), email) {
			t.Errorf("the log holds the address: %s", &f.logs)
		}
	}
	// Not even the right code helps whoever may not sign in.
	f := newFixture(t)
	f.send("r1", suspended)
	err := f.db.SetPasscode(t.Context(), store.Passcode{RequestID: "r1", Email: suspended, MAC: f.mac("r1", "12345678"), ExpiresAt: f.now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.check("r1", "12345678"); !errors.Is(err, ErrWrong) {
		t.Errorf("a suspended user with the right code: %v", err)
	}
}

func TestWrongPasscode(t *testing.T) {
	t.Run("the fifth try still counts", func(t *testing.T) {
		f := newFixture(t)
		code := f.send("r1", john)
		for try := 1; try <= 4; try++ {
			if _, err := f.check("r1", wrong(code)); !errors.Is(err, ErrWrong) {
				t.Errorf("try %d: %v", try, err)
			}
			if sent, err := f.Sent(t.Context(), "r1"); err != nil || sent.TriesLeft != 5-try {
				t.Errorf("after try %d: %+v, %v", try, sent, err)
			}
		}
		if _, err := f.check("r1", code); err != nil {
			t.Errorf("the right one in the fifth try: %v", err)
		}
	})
	t.Run("dead after five", func(t *testing.T) {
		f := newFixture(t)
		code := f.send("r1", john)
		for range 5 {
			if _, err := f.check("r1", wrong(code)); !errors.Is(err, ErrWrong) {
				t.Error(err)
			}
		}
		if _, err := f.check("r1", code); !errors.Is(err, ErrNoPasscode) {
			t.Errorf("the right one in the sixth try: %v", err)
		}
		if code = f.send("r1", john); code == "" {
			t.Fatal("the user is locked out")
		}
		if _, err := f.check("r1", code); err != nil {
			t.Errorf("a new passcode: %v", err)
		}
	})
	t.Run("other forms", func(t *testing.T) {
		for name, change := range map[string]func(string) string{
			"empty": func(string) string { return "" }, "cut off": func(c string) string { return c[:7] }, "longer": func(c string) string { return c + "0" },
			"other digits": func(c string) string { // full-width ones
				return strings.Map(func(r rune) rune { return r - '0' + '０' }, c)
			},
		} {
			f := newFixture(t)
			if _, err := f.check("r1", change(f.send("r1", john))); !errors.Is(err, ErrWrong) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("none sent", func(t *testing.T) {
		if _, err := newFixture(t).check("r1", "12345678"); !errors.Is(err, ErrNoPasscode) {
			t.Error(err)
		}
	})
}

// TestPasscodeIsBoundToItsRequest: one that was sent for a request is worth
// nothing in another (attack O6).
func TestPasscodeIsBoundToItsRequest(t *testing.T) {
	f := newFixture(t)
	if f.mac("r1", "12345678") == f.mac("r2", "12345678") || f.mac("r1", "12345678") == f.mac("r1", "12345679") {
		t.Error("two passcodes are stored alike")
	}
	other := *f.Service
	other.Key = []byte("another key")
	if f.mac("r1", "12345678") == other.mac("r1", "12345678") {
		t.Error("the key makes no difference")
	}
	one, two := f.send("r1", john), f.send("r2", john)
	for one == two { // in one of 10^8 runs
		two = f.send("r2", john)
	}
	if _, err := f.check("r2", one); !errors.Is(err, ErrWrong) {
		t.Errorf("the passcode of r1 in r2: %v", err)
	}
	if _, err := f.check("r1", one); err != nil {
		t.Errorf("it still works where it belongs: %v", err)
	}
}

// TestResendInvalidates what was sent before (attack O5).
func TestResendInvalidates(t *testing.T) {
	f := newFixture(t)
	first := f.send("r1", john)
	second := f.send("r1", john)
	for first == second { // in one of 10^8 runs
		second = f.send("r1", john)
	}
	if _, err := f.check("r1", first); !errors.Is(err, ErrWrong) {
		t.Errorf("the first passcode: %v", err)
	}
	if _, err := f.check("r1", second); err != nil {
		t.Errorf("the second passcode: %v", err)
	}
}

// TestPasscodeExpires after five minutes (attack O5).
func TestPasscodeExpires(t *testing.T) {
	for after, want := range map[time.Duration]error{5*time.Minute - time.Millisecond: nil, 5 * time.Minute: ErrNoPasscode} {
		f := newFixture(t)
		code := f.send("r1", john)
		f.now = f.now.Add(after)
		if sent, err := f.Sent(t.Context(), "r1"); err != nil || (sent.TriesLeft == 0) != (want != nil) {
			t.Errorf("after %v: %+v, %v", after, sent, err)
		}
		if _, err := f.check("r1", code); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", after, err, want)
		}
	}
}

// TestPasscodeWorksOnce under any concurrency (attack O4).
func TestPasscodeWorksOnce(t *testing.T) {
	f := newFixture(t)
	code := f.send("r1", john)
	var signedIn, refused atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch _, err := f.check("r1", code); {
			case err == nil:
				signedIn.Add(1)
			case errors.Is(err, ErrNoPasscode):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if signedIn.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d signed in, %d refused", signedIn.Load(), refused.Load())
	}
}

func TestSuspendedBetweenSendAndCheck(t *testing.T) {
	f := newFixture(t)
	code := f.send("r1", john)
	f.suspend(john)
	if cookie, err := f.check("r1", code); !errors.Is(err, ErrNotApproved) || cookie != "" {
		t.Errorf("%q, %v", cookie, err)
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	f.Limits = Limits{PerAddress: 2, PerIP: 4, Total: 6}
	ask := func(email, ip string) (mailed bool, err error) {
		before := len(f.mails)
		err = f.Send(t.Context(), "r1", email, ip, Message{})
		return len(f.mails) > before, err
	}
	for i, step := range []struct {
		email, ip string
		wait      time.Duration
		mailed    bool
		err       error
	}{
		{john, "192.0.2.1", 0, true, nil},
		{"JOHN.doe@demo.example", "192.0.2.2", 0, true, nil},
		{john, "192.0.2.3", 0, false, nil}, // the address has had enough; the answer is the same
		{"nobody@demo.example", "192.0.2.1", 0, false, nil},
		{"nobody@demo.example", "192.0.2.1", 0, false, nil},
		{"jane.test@demo.example", "192.0.2.1", 0, true, nil},
		{"admin@demo.example", "192.0.2.1", 0, false, ErrTooMany}, // known or not: counted alike
		{"admin@demo.example", "192.0.2.9", 0, true, nil},
		{"jane.test@demo.example", "192.0.2.8", 0, false, ErrTooMany}, // in all
		{john, "192.0.2.1", time.Hour - time.Second, false, ErrTooMany},
		{john, "192.0.2.1", time.Second, true, nil},
	} {
		f.now = f.now.Add(step.wait)
		mailed, err := ask(step.email, step.ip)
		if mailed != step.mailed || !errors.Is(err, step.err) {
			t.Errorf("step %d, %s from %s: mailed %v, error %v", i, step.email, step.ip, mailed, err)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	f := newFixture(t)
	for _, email := range []string{
		"", " ", "john", "@demo.example", "john@", "John <john.doe@demo.example>", "<john.doe@demo.example>", "john.doe@demo.example,jane.test@demo.example",
		"john.doe@demo.example\r\nBcc: x@evil.example", "john.doe@demo.example x", "john..doe@demo.example", strings.Repeat("a", 250) + "@demo.example",
	} {
		if err := f.Send(t.Context(), "r1", email, "192.0.2.1", Message{}); !errors.Is(err, ErrBadAddress) {
			t.Errorf("%q: %v", email, err)
		}
	}
	if len(f.mails) != 0 {
		t.Errorf("mails: %v", f.mails)
	}
}

// TestMailDown: an outage of the mail server is told for known and unknown
// addresses alike, and costs nobody a passcode.
func TestMailDown(t *testing.T) {
	f := newFixture(t)
	f.Limits.PerAddress = 1
	f.down = errors.New("connection refused")
	for _, email := range []string{john, "nobody@demo.example", suspended} {
		if err := f.Send(t.Context(), "r1", email, "192.0.2.1", Message{}); !errors.Is(err, ErrMailDown) {
			t.Errorf("%s: %v", email, err)
		}
		if _, err := f.Sent(t.Context(), "r1"); !errors.Is(err, ErrNoPasscode) {
			t.Errorf("%s: Sent: %v", email, err)
		}
	}
	f.down = nil
	if f.send("r1", john) == "" {
		t.Error("the failed try counted")
	}
}

// TestStoredPasscode: the store keeps no passcode, and none that could be
// tried out without the key (attack O10).
func TestStoredPasscode(t *testing.T) {
	f := newFixture(t)
	code := f.send("r1", john)
	p, err := f.db.Passcode(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%+v %s", p, p.MAC[:]), code) || p.MAC == store.HashOf(code) || p.MAC == store.HashOf("r1"+code) || p.MAC == store.HashOf("r1\x00"+code) {
		t.Errorf("stored: %+v", p)
	}
}

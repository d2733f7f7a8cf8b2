package dpop

import (
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/dpop/dpoptest"
)

// FuzzProof checks that whatever is accepted is a proof: of the right type,
// with all that is compared later, signed with a public key that is strong.
func FuzzProof(f *testing.F) {
	for _, alg := range Algorithms {
		key := dpoptest.NewKeyFor(f, alg)
		good := key.Proof("GET", testURL, map[string]any{"nonce": "n", "ath": "a"})
		f.Add(good)
		parts := strings.Split(good, ".")
		f.Add(encode(decode(parts[0])[1:]) + "." + parts[1] + "." + parts[2])
		f.Add(key.SignRaw(decode(parts[0]), `{"jti":"1","htm":"GET","htu":"%","iat":-1e400}`))
		f.Add(key.SignRaw(decode(parts[0]), `{"jti":"1","htm":"GET","htu":"https://a/%2","iat":1}`))
		f.Add(hmacProof(dpoptest.NewKey(f), map[string]any{"jti": "1"}))
	}
	for _, seed := range []string{"", "..", "a.b.c", "e30.e30.", "bnVsbA.bnVsbA.", encode(`{"alg":"none","typ":"dpop+jwt","jwk":{}}`) + ".e30."} {
		f.Add(seed)
	}
	parser := newParser(time.Now)
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parse(parser, raw)
		if err != nil {
			if !quotable.MatchString(err.Error()) {
				t.Errorf("this cannot go into a challenge: %s", err)
			}
			return
		}
		if len(p.Key) != 43 || p.ID == "" || len(p.ID) > maxID || p.Method == "" || p.URL == "" || len(raw) > maxProof {
			t.Errorf("accepted: %+v", p)
		}
		header := decode(strings.Split(raw, ".")[0])
		if !strings.Contains(header, `dpop+jwt`) || strings.Contains(header, `"d":`) {
			t.Errorf("accepted with the header %s", header)
		}
		again, err := normalURL(p.URL)
		if err != nil {
			return
		}
		if twice, err := normalURL(again); err != nil || twice != again {
			t.Errorf("%s is normal, and so is %s (%v)", again, twice, err)
		}
	})
}

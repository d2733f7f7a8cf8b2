package authserver

import (
	"database/sql"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKill kills the real program at random moments while clients redeem
// codes, refresh and revoke, and holds it to what it had answered: nothing that
// a client was told is lost, and nothing is given twice. Half way through, the
// signing key is rotated from outside.
//
// KILLS sets how often (10), KILL_SEED repeats the choices of a run.
func TestKill(t *testing.T) {
	kills, seed := 10, uint64(time.Now().UnixNano())
	for name, set := range map[string]func(n uint64){"KILLS": func(n uint64) { kills = int(n) }, "KILL_SEED": func(n uint64) { seed = n }} {
		if v := os.Getenv(name); v != "" {
			n, err := strconv.ParseUint(v, 10, 63)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	t.Logf("KILL_SEED=%d", seed)

	p := newProcess(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	workers := make([]*worker, 4)
	for i := range workers {
		workers[i] = newWorker(p, rand.New(rand.NewPCG(seed, uint64(i))), &stop)
	}
	for _, w := range workers {
		wg.Go(w.run)
	}
	rng := rand.New(rand.NewPCG(seed, 1000))
	for i := range kills {
		if i == kills/2 {
			p.rotateKeys()
		}
		time.Sleep(time.Duration(20+rng.IntN(200)) * time.Millisecond)
		p.kill()
		p.start()
	}
	stop.Store(true)
	wg.Wait()

	if a, _ := p.send(p.browser(), "/jwks", nil); strings.Count(a.Body, `"kid"`) != 2 {
		t.Errorf("after rotate-keys two keys are to be published: %s", a.Body)
	}
	families, lost, rescued := 0, 0, 0
	for _, w := range workers {
		for _, f := range w.families {
			f.check(w)
		}
		families, lost, rescued = families+len(w.families), lost+w.lost, rescued+w.rescued
	}
	t.Logf("%d kills, %d codes, %d answers lost, %d of them to refreshes that a retry then got", kills, families, lost, rescued)
	if families < kills || lost == 0 {
		t.Error("too little happened for this to say anything")
	}
	p.kill()
	p.checkDatabase()
}

// checkDatabase looks for what is there twice.
func (p *process) checkDatabase() {
	db, err := sql.Open("sqlite", p.database)
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		"PRAGMA integrity_check": "ok",
		`SELECT COUNT(*) FROM (SELECT 1 FROM tokens JOIN grants ON grants.seq = grant_seq WHERE kind = 'refresh' AND used = 0
			AND tokens.revoked = 0 AND grants.revoked = 0 GROUP BY grant_seq HAVING COUNT(*) > 1)`: "0", // grants with two live refresh tokens
		"SELECT COUNT(*) FROM tokens WHERE kind = 'refresh' AND used <> EXISTS (SELECT 1 FROM rotations WHERE rotations.hash = tokens.hash)": "0", // half a rotation
	} {
		var got string
		if err := db.QueryRowContext(p.t.Context(), query).Scan(&got); err != nil || got != want {
			p.t.Errorf("%s: %s (%v), want %s", query, got, err, want)
		}
	}
}

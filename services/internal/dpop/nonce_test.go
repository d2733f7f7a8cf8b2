package dpop

import (
	"testing"
)

func TestNonces(t *testing.T) {
	c, clock := newTestChecker()
	other := NewChecker([]byte("key of the nonces"), clock.now)
	stranger := NewChecker([]byte("key of another server"), clock.now)
	nonce := c.Nonce()
	if nonce != other.Nonce() {
		t.Error("replicas that share the key disagree")
	}
	if stranger.nonces.accepts(nonce, clock.now()) {
		t.Error("D-POP the nonce of one server is good at another")
	}
	clock.wait(nonceWindow)
	if c.Nonce() == nonce || !c.nonces.accepts(nonce, clock.now()) {
		t.Error("the nonce before is not accepted, or still the current one")
	}
	clock.wait(nonceWindow)
	if c.nonces.accepts(nonce, clock.now()) {
		t.Error("D-POP a nonce from before the last window is accepted")
	}
}

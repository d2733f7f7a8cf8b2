package token

// NewVerifierAt is NewVerifier with a clock.
var NewVerifierAt = newVerifier

package grants

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"regexp"
)

// A challenge is the unpadded base64url of a SHA-256; a verifier has 43 to
// 128 unreserved characters (RFC 7636 §4.1 and §4.2).
var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// VerifyPKCE checks that verifier is the secret behind challenge, the S256
// code challenge that the client sent when it asked for authorization (RFC
// 7636 §4.6).
//
// It proves that whoever redeems the code is whoever started the flow: a
// stolen code is worthless without the verifier, which is first sent here.
// Only S256 is supported: "plain" puts the secret itself into the URL.
func VerifyPKCE(challenge, verifier string) error {
	if !challengeForm.MatchString(challenge) {
		return errors.New("there is no code challenge to compare with")
	}
	if !verifierForm.MatchString(verifier) {
		return errors.New("code_verifier must have 43 to 128 unreserved characters")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return errors.New("code_verifier is not the one behind the code_challenge")
	}
	return nil
}

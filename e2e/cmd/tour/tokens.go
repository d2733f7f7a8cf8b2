package main

import (
	"context"
	"net/http"
)

// redeem: the code becomes tokens.
func (t *tour) redeem(context.Context) error {
	t.heading("Tokens")
	t.title("The agent trades the code for tokens")
	e, err := t.john.find(http.MethodPost, "login", "/token")
	if err != nil {
		return err
	}
	t.exchange(e)
	t.notice("the access token is opaque: the agent, and whoever steals it from the agent, learns",
		"nothing from it. It lives for 15 minutes; the refresh token works once.")
	return nil
}

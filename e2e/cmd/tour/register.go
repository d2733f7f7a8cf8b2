package main

import (
	"context"
	"net/http"
)

// register: the authorization server has never heard of this agent.
func (t *tour) register(context.Context) error {
	t.heading("Registration")
	t.title("The agent introduces itself (RFC 7591)")
	e, err := t.john.find(http.MethodPost, "login", "/register")
	if err != nil {
		return err
	}
	t.exchange(e)
	t.notice("anybody can do this, under any name, so the client earns the lowest trust:",
		"client_assurance_level 1. Nothing that it says about itself can raise that.")
	return nil
}

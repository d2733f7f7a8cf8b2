package stocksmcp

import (
	"context"
	"errors"
	"log/slog"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/token"
)

// Ways in which a call fails that the user can do something about.
var (
	errUnavailable = errors.New("temporarily unavailable")
	errForbidden   = errors.New("not allowed")
	errWithdrawn   = errors.New("access was withdrawn")
	errNoStock     = errors.New("no such stock")
)

// explanation is a failure as the user reads it, with what to do about it. It
// is written here, word for word: nothing that another service said is in it.
type explanation string

func (e explanation) Error() string { return string(e) }

const noStock explanation = "There is no such stock in your region. Call fetch-stock-prices to see those that there are."

const unavailable explanation = "The stocks service is temporarily unavailable. Try again in a moment; the sign-in is fine."

// explain returns the words for a failure.
func explain(err error) explanation {
	if e, ok := errors.AsType[explanation](err); ok {
		return e
	}
	switch {
	case errors.Is(err, errNoStock):
		return noStock
	case errors.Is(err, errForbidden):
		return "Not allowed: this client may not read stock prices for this user. Trying again will not help; an administrator can grant access."
	case errors.Is(err, errWithdrawn):
		return "The access of this client was withdrawn. Sign in again to go on."
	}
	return unavailable
}

// finish logs how a call ended, once, and returns the failure in words, nil
// when there was none.
func finish(ctx context.Context, log *slog.Logger, what string, err error, attrs ...any) error {
	claims := token.ClaimsFrom(ctx)
	log = log.With("request_id", httpserver.RequestID(ctx), "tool", what,
		"sub", claims.Subject, "client_id", claims.ClientID, "grant_id", claims.GrantID)
	if err == nil {
		log.Info("tool called", attrs...)
		return nil
	}
	level := slog.LevelInfo
	if errors.Is(err, errUnavailable) {
		level = slog.LevelError
	}
	log.Log(ctx, level, "tool failed", append(attrs, "error", err.Error())...)
	return explain(err)
}

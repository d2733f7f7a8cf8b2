package person

import (
	"strings"
	"testing"
)

func TestParseDecodesTheMail(t *testing.T) {
	tests := map[string]string{
		"plain":      "Subject: S\r\n\r\nYour passcode: 01234567\r\n",
		"two halves": "Subject: S\r\n\r\n0123 4567\r\n\r\nis your passcode.\r\n",
		"quoted-printable": "Subject: S\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
			"Your passcode: 0123=\r\n4567 =E2=80=93 valid\r\n",
		"base64": "Subject: S\r\nContent-Transfer-Encoding: base64\r\n\r\nWW91ciBwYXNzY29kZTogMDEyMzQ1Njc=\r\n",
		"multipart": "Subject: S\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
			"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nYour passcode: 01234=\r\n567\r\n" +
			"--b\r\nContent-Type: text/html\r\n\r\n<p>99999999</p>\r\n--b--\r\n",
	}
	for name, raw := range tests {
		message, err := parse(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := passcode.FindStringSubmatch(message.Text)
		if message.Subject != "S" || found == nil || found[1]+found[2] != "01234567" {
			t.Errorf("%s: got subject %q, passcode %q in %q", name, message.Subject, found, message.Text)
		}
	}
}

func TestNumbersOfOtherLengthsAreNoPasscode(t *testing.T) {
	if found := passcode.FindString("1234567 123456789 " + strings.Repeat("1", 20)); found != "" {
		t.Errorf("took %q for a passcode", found)
	}
}

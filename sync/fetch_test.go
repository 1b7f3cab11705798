package sync

import (
	"io"
	"testing"

	"archiverd/internal/uid"
)

// A message is not given up before it was tried without metadata, even when the
// connection died of it once before with EXAMINE in the same flight.
func TestTriedWithoutMetadata(t *testing.T) {
	one := task{mailbox: &mailboxRun{}, snapshot: &snapshot{}, uids: uid.Of(5)}
	for death := range 3 {
		if death > 0 {
			one.countMetadataLoss()
		}
		again, poison := one.afterLoss(io.ErrUnexpectedEOF)
		if poison != nil || len(again) != 1 {
			t.Fatalf("after death %d: %v, %v", death+1, again, poison)
		}
		one = again[0]
	}
	if one.metadataTries < maxMetadataTries {
		t.Errorf("the fourth try is to have metadata again: %+v", one)
	}
	if _, poison := one.afterLoss(io.ErrUnexpectedEOF); poison == nil {
		t.Error("it is tried for ever")
	}
}

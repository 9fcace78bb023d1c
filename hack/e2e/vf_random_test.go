//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// seedVariable repeats the random pods of a run that has printed its seed.
const seedVariable = "MULTINET_E2E_SEED"

// vfNetworks are the Networks on VFs, by the card that they are on; those of programs are green and amber.
var vfNetworks = map[string][]string{"pf0": {"red", "amber"}, "pf1": {"blue", "green"}}

// drawn is a random pod.
type drawn struct {
	name, selection string
	containers      int
}

// drawPods returns one or two pods of one or two containers, which have one to three VFs each, no more than the cards have.
// Each container is seconds of work for the machine, which is emulated.
func drawPods(random *rand.Rand, vfsPerCard int) (pods []drawn) {
	free := map[string]int{}
	for card := range vfNetworks {
		free[card] = vfsPerCard
	}
	for i := range 2 {
		var selection []string
		for k := range 1 + random.IntN(3) {
			card := fmt.Sprintf("pf%d", random.IntN(len(vfNetworks)))
			if free[card] == 0 {
				continue
			}
			free[card]--
			network := vfNetworks[card][random.IntN(2)]
			if random.IntN(2) == 0 {
				network += "@" + interfaceOf(random, k)
			}
			selection = append(selection, network)
		}
		if len(selection) > 0 {
			pods = append(pods, drawn{fmt.Sprintf("drawn-%d", i), strings.Join(selection, ","), 1 + random.IntN(2)})
		}
	}
	return pods
}

// interfaceOf is a name of 3 to 15 letters, another one for each k.
func interfaceOf(random *rand.Rand, k int) string {
	name := []byte{'x', 'a' + byte(k)}
	for range 1 + random.IntN(13) {
		name = append(name, "abcdefghijklmnopqrstuvwxyz0123456789._-"[random.IntN(39)])
	}
	return string(name)
}

// createRandom creates random pods, which leave one VF of each card to another, and returns their names.
func (s *scene) createRandom() (names []string) {
	s.t.Helper()
	pods := drawPods(s.random(), vfsPerCard-1)
	s.t.Logf("drawn are %+v", pods)
	for _, p := range pods {
		names = append(names, p.name)
		s.must(s.Create(s.ctx, s.vfPod(p.name, p.selection, p.containers)))
	}
	return names
}

// TestDrawPods: a seed draws the same pods each time, and no card has to have more VFs than it has.
func TestDrawPods(t *testing.T) {
	sizes := map[int]bool{}
	for seed := range uint64(200) {
		pods := drawPods(rand.New(rand.NewPCG(seed, 0)), vfsPerCard)
		if again := drawPods(rand.New(rand.NewPCG(seed, 0)), vfsPerCard); !slices.Equal(pods, again) {
			t.Fatalf("seed %d draws %v and then %v", seed, pods, again)
		}
		used := map[string]int{}
		for _, p := range pods {
			for element := range strings.SplitSeq(p.selection, ",") {
				network, _, _ := strings.Cut(element, "@")
				for card, networks := range vfNetworks {
					if slices.Contains(networks, network) {
						used[card]++
					}
				}
			}
		}
		sizes[used["pf0"]+used["pf1"]] = true
		if used["pf0"] > vfsPerCard || used["pf1"] > vfsPerCard || len(pods) == 0 {
			t.Errorf("seed %d draws %v", seed, pods)
		}
	}
	if len(sizes) < 4 {
		t.Errorf("all draws are of the sizes %v", sizes)
	}
}

// Package lint says what becomes of NetworkAttachmentDefinitions, and of the pods that select them, with Multinet.
package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/kubectl-multinet/manifest"
)

// unknown is the verdict on a pod that selects a NetworkAttachmentDefinition which was not read.
const unknown netattach.Verdict = "unknown"

// Judgement is what there is to say about one object.
type Judgement struct {
	Object  manifest.Object
	Verdict netattach.Verdict
	// Text says what the verdict means for the object.
	Text string
	// Reasons say why the verdict is not Native; Notes are what a user should know beyond.
	Reasons, Notes []Remark
	// Network is the translation of a NetworkAttachmentDefinition with the verdict Native or Delegated.
	Network *netattach.Translation
}

// Remark is about one place in an object.
type Remark struct {
	At   manifest.Place
	Text string
}

// Judge returns a judgement for each object, in order.
func Judge(objects []manifest.Object) []Judgement {
	known := map[string]netattach.Translation{}
	judgements := make([]Judgement, len(objects))
	for i, o := range objects {
		if o.Definition != nil {
			translation := netattach.Translate(netattach.Definition{
				Namespace: o.Namespace, Name: o.Name, Config: o.Definition.Config.Value, ResourceName: o.Definition.ResourceName,
				AllowedNamespaces: o.Definition.AllowedNamespaces,
			})
			judgements[i] = judgeDefinition(o, translation)
			known[o.Namespace+"/"+o.Name] = translation
		}
	}
	noteShared(judgements)
	for i, o := range objects {
		if o.Pod != nil {
			judgements[i] = judgePod(o, known)
		}
	}
	return judgements
}

func judgeDefinition(o manifest.Object, t netattach.Translation) Judgement {
	j := Judgement{Object: o, Verdict: t.Verdict}
	if o.Definition.NotText {
		j.Verdict, j.Text = netattach.Refused, "the API server does not accept it"
		j.Reasons = []Remark{{At: o.Definition.Config.At, Text: "spec.config must be a string: put it in quotes, or after |"}}
		return j
	}
	j.Reasons, j.Notes = remarks(o.Definition.Config, "", t.Reasons), remarks(o.Definition.Config, "", t.Notes)
	plugins := strings.Join(t.Plugins, ", ")
	switch t.Verdict {
	case netattach.Native:
		j.Network = &t
		j.Text = fmt.Sprintf("%s: Network %s does the same", plugins, netattach.NetworkName(o.Namespace, o.Name))
	case netattach.Delegated:
		j.Network = &t
		j.Text = fmt.Sprintf("%s: Network %s has the CNI plugins %s do it, where the agents' cniPlugins list them and the namespace has the label %s=%s",
			plugins, netattach.NetworkName(o.Namespace, o.Name), strings.Join(t.Types, ", "), netattach.LabelPlugins, netattach.LabelPluginsAllowed)
		if o.Definition.ResourceName != "" {
			j.Text += fmt.Sprintf("; each pod needs %s in resources.limits of its containers, once for each interface", o.Definition.ResourceName)
		}
	case netattach.Refused:
		j.Text = "it cannot be used as it stands"
	}
	return j
}

// remarks are problems at their places, what names their element before them.
func remarks(text manifest.Text, what string, problems []jsonpos.Problem) (all []Remark) {
	for _, p := range problems {
		message := what
		if p.Path != "" {
			message += p.Path + ": "
		}
		all = append(all, Remark{At: text.Place(p.At.Offset), Text: message + p.Text})
	}
	return all
}

// Clean tells whether everything is native.
func Clean(judgements []Judgement) bool {
	return !slices.ContainsFunc(judgements, func(j Judgement) bool { return j.Verdict != netattach.Native })
}

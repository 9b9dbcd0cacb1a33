"""The last sections: what the words mean, and how the runs were made."""

from fastbp.analysis.summary import keys_of
from fastbp.reporting.html_tables import provenance
from fastbp.reporting.phrases import plain
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema import paper_figures
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import shortened

WORDS = {
    "constant": "collapsed or one-class: the same answer, or the same decision, for every input",
    "setup": "one value for every hyperparameter, named by 12 hex digits",
    "seed": "the number from which the initial weights and the order of samples of a run are "
    "drawn; it means the same in every setup",
    "update": "one change of the weights",
    "spread": "the largest output minus the smallest over all rows, as a share of the target "
    "range; of several outputs, the one with the largest spread counts",
    "loss": "the mean over rows of the sum over outputs; squared loss has the factor ½",
}
"""Meanings of words that every page explains."""


def _content(data: ReportData) -> Content:
    keys, figures = keys_of(data.summary), set(data.published["figure"])
    return {
        "outcomes": [(str(each), each.meaning, each.colour) for each in OUTCOMES],
        "words": {
            **WORDS,
            **{each.name: each.meaning for each in SETUP_COLUMNS if each.name in keys},
            **{
                name: paper_figures.MEANINGS[name]
                for name in paper_figures.FIGURES
                if name in figures
            },
        },
    }


SECTION = Section(
    "words",
    "What the words mean",
    _content,
    """\
<p>The outcome of a run is the first of these that applies. The <em>target range</em> of an output
is its largest target minus its smallest, over the rows.</p>
<dl>
{% for name, meaning, colour in outcomes %}<dt><svg class="swatch" viewBox="0 0 1 1"
aria-hidden="true"><rect width="1" height="1" fill="{{ colour }}"/></svg>{{ name }}</dt>
<dd>{{ meaning }}</dd>
{% endfor %}{% for name, meaning in words.items() %}<dt>{{ name }}</dt><dd>{{ meaning }}</dd>
{% endfor %}</dl>
""",
)


def _provenance(data: ReportData) -> Content:
    first, varying = data.counted[0].keys, keys_of(data.summary)
    texts = [
        f"{each.name} {shortened(plain(first[each.name]), 200)}"
        for each in SETUP_COLUMNS
        if each.name not in varying and first.get(each.name) is not None
    ]
    return {"common": ", ".join(texts), **provenance(data.store)}


PROVENANCE = Section(
    "how",
    "How it was run",
    _provenance,
    """\
{% if common %}<p>In all setups: <bdi>{{ common }}</bdi>.</p>{% endif %}
{% if commands %}{{ table(commands) }}{% endif %}
{% for line in versions %}<p class="soft">{{ line }}</p>
{% endfor %}""",
)

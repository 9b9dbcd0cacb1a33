"""The section on how the runs were made: keys that all setups share, commands and versions."""

from fastbp.analysis.summary import keys_of
from fastbp.reporting.html_tables import provenance
from fastbp.reporting.phrases import plain
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.text import shortened


def _content(data: ReportData) -> Content:
    first, varying = data.counted[0].keys, keys_of(data.summary)
    texts = [
        f"{each.name} {shortened(plain(first[each.name]), 200)}"
        for each in SETUP_COLUMNS
        if each.name not in varying and first.get(each.name) is not None
    ]
    return {"common": ", ".join(texts), **provenance(data.store)}


SECTION = Section(
    "how",
    "How it was run",
    _content,
    """\
{% if common %}<p>In all setups: <bdi>{{ common }}</bdi>.</p>{% endif %}
{% if commands %}{{ table(commands) }}{% endif %}
{% for line in versions %}<p class="soft">{{ line }}</p>
{% endfor %}""",
)

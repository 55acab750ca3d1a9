"""``labels``: the image carries the labels that your organization requires."""

import re

from deadweight.plugins import Evidence, Record, Subject, evidence, read_image


class Labels(Record):
    """The keys under ``checks.other.labels``: label names, each with a regular expression for its value."""

    required: dict[str, str]


class LabelsCheck:
    """Reads the image's config from its archive, so it needs no engine."""

    name = "labels"
    needs_engine = False
    record = Labels

    def run(self, subject: Subject) -> Evidence:
        wanted = Labels.model_validate(subject.variant.checks.other[self.name]).required
        labels = dict(read_image(subject.archive()).config.labels)
        wrong = [name for name, pattern in wanted.items() if not re.fullmatch(pattern, labels.get(name, ""))]
        data = {"labels": labels, "wrong": wrong}
        if wrong:
            return evidence(subject, self.name, "fail", f"missing or wrong: {', '.join(wrong)}", data=data)
        return evidence(subject, self.name, "pass", f"{len(wanted)} as required", data=data)

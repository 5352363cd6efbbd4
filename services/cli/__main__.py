"""`onefold`: puts the command line together."""

from __future__ import annotations

import typer

from services.cli import output
from services.cli.commands import (
    administration,
    audit,
    campaigns,
    console,
    corrections,
    database,
    development,
    erasures,
    explain,
    exports,
    facts,
    fields,
    identity,
    imports,
    journeys,
    keys,
    matches,
    mirrors,
    nats,
    packs,
    person_exports,
    profiles,
    pulls,
    rebuild,
    recommendations,
    rules,
    scores,
    segments,
    system,
    tags,
    templates,
    tickets,
    traits,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Onefold: many sources, one fold, one customer.",
)
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

for command in (
    *(system.up, system.down, system.status),
    *(packs.apply, profiles.profile, profiles.account, corrections.correct, matches.match),
    *(traits.traits, campaigns.campaign),
    *(rebuild.verify, rebuild.rebuild, development.demo, development.bench),
):
    app.command()(command)
app.command("import")(imports.import_)
app.command("pull")(pulls.pull)
app.command("test", context_settings=_PASSED_ON)(development.suite)
app.command("console")(console.console)
app.add_typer(identity.app, name="identity")
app.add_typer(explain.app, name="explain")
packs.export.command("log")(exports.log)
packs.export.command("segment")(exports.segment)
packs.export.command("person")(person_exports.person)
app.add_typer(packs.export, name="export")
app.add_typer(rules.app, name="rules")
app.add_typer(journeys.app, name="journeys")
app.add_typer(matches.app, name="matches")
app.add_typer(scores.scores, name="scores")
app.add_typer(segments.app, name="segments")
app.add_typer(tags.app, name="tags")
app.add_typer(mirrors.app, name="mirror")
app.add_typer(templates.app, name="templates")
app.add_typer(recommendations.app, name="recommendations")
app.add_typer(tickets.app, name="tickets")
app.add_typer(administration.sources, name="sources")
app.add_typer(administration.quarantine, name="quarantine")
app.add_typer(facts.facts, name="facts")
app.add_typer(fields.fields, name="fields")
app.add_typer(keys.keys, name="keys")
app.add_typer(audit.audit, name="audit")
app.add_typer(erasures.erasures, name="erasures")
app.add_typer(nats.app, name="nats")
app.add_typer(database.app, name="database")
app.add_typer(administration.clock, name="clock")


def main() -> None:
    """Run the command of the arguments; an expected error ends it as one line."""
    output.guard_streams()
    with output.exit_on_error():
        app(prog_name="./onefold")


if __name__ == "__main__":
    main()

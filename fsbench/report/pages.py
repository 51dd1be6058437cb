"""Pages from their templates: all of them need nothing else, not even a network, and look alike."""

from __future__ import annotations

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """Fill a template of this package; every text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fsbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)

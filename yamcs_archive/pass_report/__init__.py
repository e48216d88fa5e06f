"""What an operator wants to know after a pass; docs/report.md defines each measure.

``report`` has what users hold; what it says is in ``findings``, and what a comparison of two says in
``compared``. ``analysis`` makes reports of events, and only that needs numpy. Knows neither storage nor
instances.
"""

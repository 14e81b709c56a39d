"""Reports: a session as one HTML page, one SVG picture or one trace, to hand to others.

    page/         the HTML page: its data, its style and its script
    svg           the diagram alone, as a picture
    trace_events  the session for Perfetto's viewer
    gathering/    what all three are made from: reads the log, and selects what is shown
    palette       colours and shapes
    text          shortening and escaping of text from a log
    limits        every limit of a report

Each imports only what stands below it. Memory and output stay below the limits for a session of any size. If something
is left out, the report says so.
"""

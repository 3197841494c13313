"""The site and the book: records and evidence in, HTML and PDF out.

What may live here: templates and the two builders. Nothing is typed twice: every formula on a page comes from a record.
"""

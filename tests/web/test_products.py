from browser import PageTest
class Products(PageTest):
    TEMPLATE = "prices"

"""Exports in the shapes of several programs, with invented ids."""

TILL = (
    "Bon-Nr;Datum;Uhrzeit;Kunde;Artikel;Warengruppe;Menge;Einzelpreis\r\n"
    "R-0001;13/02/2026;12:05;+4917000001;Suppe;Starters;1;6,50 €\r\n"
    "R-0001;13/02/2026;12:05;+4917000001;Schnitzel;Mains;1;16,90 €\r\n"
    "R-0002;13/02/2026;19:30;;Schnitzel;Mains;1;16,90 €\r\n"
    "R-0002;13/02/2026;19:30;;Bergkäse;Deli;0,136;24,00 €\r\n"
    "R-0003;14/07/2026;12:00;+4917000001;Hochzeit;Fest;1;1.234,50 €\r\n"
)
SHOPIFY = """\
Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Discount Amount,Created at,\
Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount,Billing Phone,Shipping Phone,\
Cancelled at,Refunded Amount,Phone,Tags
#1003,c@x.com,paid,2024-06-07 10:00:00 +0100,GBP,20.00,0.00,1.00,21.00,0.00,2024-06-07 10:00:00 +0100,\
2,Soup - Large,5.00,S-1,0.00,,,,0.00,+447700900003,
#1003,c@x.com,,,,,,,,,2024-06-07 10:00:00 +0100,1,Fish [/chips],10.00,,0.00,,,,,,
#1002,b@x.com,partially_refunded,2024-06-06 10:00:00 +0100,GBP,5.00,0,0,5.00,0.00,2024-06-06 10:00:00 +0100,\
1,Soup - Large,5.00,S-1,0.00,,,,2.00,,
#1001,a@x.com,voided,,GBP,5.00,0,0,5.00,0.00,2024-06-05 10:00:00 +0100,1,Soup - Large,5.00,S-1,0.00,,,,0.00,,
#1000,a@x.com,paid,,GBP,5.00,0,0,5.00,0.00,2024-06-05 09:00:00 +0100,1,Soup - Large,5.00,S-1,0.00,,,\
2024-06-05 11:00:00 +0100,0.00,,
#1000,a@x.com,,,,,,,,,2024-06-05 09:00:00 +0100,1,Tea,2.00,,0.00,,,,,,
"""
SQUARE = """\
Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Modifiers Applied,Gross Sales,Discounts,Net Sales,Tax,\
Transaction ID,Payment ID,Device Name,Notes,Details,Event Type,Location,Dining Option,Customer ID,Customer Name,\
Customer Reference ID
06/15/24,13:01:02,Eastern Time (US & Canada),Coffee,Latte,2,Regular,,Oat,"$9.00","-$1.00","$8.00","$0.71",abcDEF1,p1,\
,,,Payment,Main,,CUST1,Ann Lee,
06/15/24,13:01:02,Eastern Time (US & Canada),Food,Bagel,1,Regular,,,"$1,004.00","$0.00","$1,004.00","$0.71",abcDEF1,\
p1,,,,Payment,Main,,CUST1,Ann Lee,
06/16/24,09:00:00,Eastern Time (US & Canada),Food,Bagel,-1,Regular,,,"-$4.00","$0.00","-$4.00","-$0.30",abcDEF2,p2,\
,,,Refund,Main,,CUST1,Ann Lee,
"""
TOAST = """\
Location,Order Id,Order #,Sent Date,Order Date,Check Id,Server,Table,Menu Item,Item Id,Menu Group,Gross Price,Discount,\
Net Price,Qty,Tax,Void?,Tab Name
Main,90000000001,1,6/5/24 1:00 PM,6/5/24 12:58 PM,90000000011,Ann,3,Burger,5001,Mains,12.00,2.00,10.00,1.0,0.80,false,
Main,90000000001,1,6/5/24 1:00 PM,6/5/24 12:58 PM,90000000011,Ann,3,Fries,5002,Sides,4.00,0.00,4.00,1.0,0.30,true,
Main,90000000002,2,6/15/24 1:00 PM,6/15/24 12:58 PM,90000000012,Ann,3,Fries,5002,Sides,4.00,0.00,4.00,2.0,0.30,false,
"""
CAFE = """\
Transaction ID,Item,Quantity,Price Per Unit,Total Spent,Payment Method,Location,Transaction Date
TXN_1961373,Coffee,2,2.0,4.0,Credit Card,Takeaway,2023-09-08
TXN_4977031,Cake,4,3.0,12.0,Cash,In-store,2023-05-16
TXN_4271903,Cookie,4,1.0,ERROR,Credit Card,In-store,2023-07-19
TXN_7034554,Salad,2,5.0,10.0,UNKNOWN,UNKNOWN,UNKNOWN
TXN_3160411,,2,2.0,4.0,Digital Wallet,In-store,2023-06-11
"""
RETAIL = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART,6,12/1/2010 8:26,2.55,17850.0,United Kingdom
536365,71053,WHITE METAL LANTERN,6,12/1/2010 8:26,3.39,17850.0,United Kingdom
C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527.0,United Kingdom
536370,22728,ALARM CLOCK PINK,24,12/13/2010 8:45,3.75,,France
"""
PIZZA = """\
order_details_id,order_id,pizza_id,quantity,order_date,order_time,unit_price,total_price,pizza_size,pizza_category,\
pizza_ingredients,pizza_name
1,1,hawaiian_m,1,1/1/2015,11:38:36,13.25,13.25,M,Classic,"Ham, Cheese",The Hawaiian Pizza
2,2,classic_dlx_m,2,1/1/2015,11:57:40,16,32,M,Classic,"P",The Classic Deluxe Pizza
3,2,five_cheese_l,1,1/13/2015,11:57:40,18.5,18.5,L,Veggie,"M",The Five Cheese Pizza
"""
COFFEE = """\
date,datetime,cash_type,card,money,coffee_name
2024-03-01,2024-03-01 10:15:50.520,card,ANON-0001,38.70,Latte
2024-03-01,2024-03-01 12:19:22.539,card,ANON-0002,38.70,Hot Chocolate
2024-03-01,2024-03-01 12:19:22.539,card,ANON-0002,38.70,Hot Chocolate
"""
LIGHTSPEED = """\
Sale ID;Date;Receipt number;Line Type;Customer Name;Product;SKU;Quantity;Subtotal;Sales Tax;Discount;Total;Status
a1b2;2024-06-05T13:00:00Z;1001;Sale;Ann;;;;12.00;1.20;0.00;13.20;CLOSED
a1b2;;1001;Sale Line;;Soup;S1;2;10.00;1.00;0.00;11.00;CLOSED
a1b2;;1001;Sale Line;;Tea;T1;1;2.00;0.20;0.00;2.20;CLOSED
a1b2;;1001;Payment;;;;;;;;13.20;CLOSED
"""
GERMAN = """\
Belegnr.;Datum;Zeit;Kundennr;Artikelbezeichnung;Warengruppe;Menge;E-Preis;Rabatt;Gesamt;Storno
1001;15.06.24;12:03 Uhr;4711;Schnitzel;Mains;2;12,90;0,00;25,80;
1001;15.06.24;12:03 Uhr;4711;Apfelschorle 0,5l;Drinks;1;3,50;0,50;3,00;
1002;15.06.24;19:45 Uhr;;Suppe;Starters;1;1.012,00;0,00;1.012,00;X
1003;15.06.24;20:00 Uhr;4711;Suppe;Starters;-1;11,00;0,00;-11,00;
"""
SPANISH = """\
Nº Ticket;Fecha;Hora;Cliente;Teléfono;Artículo;Familia;Cantidad;Precio;Importe;Estado
1;5 jun. 2024;13:05;Ana;+34600000001;Paella;Arroces;1;14,50 €;14,50 €;Pagado
1;5 jun. 2024;13:05;Ana;+34600000001;Agua;Bebidas;2;1,50 €;3,00 €;Pagado
2;15 dic. 2024;21:15;;;Sangría;Bebidas;1;12,00 €;12,00 €;Anulado
"""
ENGLISH = """\
Receipt No,Order Time,Phone,Product,Dept,Qty,Unit Price,Line Total,Status
1,2024-06-05 13:05,+44,Burger,Food,1,"1,012.00","1,012.00",Completed
2,2024-06-05 14:05,,Fries,Food,1,3.00,3.00,Voided
3,2024-06-06 13:05,+44,Burger,Food,-1,"1,012.00","-1,012.00",Refunded
"""
